"""What an OpenAPI document promises, as flat facts that two documents can be compared by.

A place is `POST /chat/completions request.messages[].role`; the alternatives of a union share their places. The facts
of OpenAI's published document are in `tests/golden/openai_facts.json`: names, types and values, none of its prose.

usage: python -m tests.support.openapi_facts OPENAI_DOCUMENT.json     (writes that file anew from a newer document)
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support import golden

AREAS: Final = (
    "batches", "chat", "completions", "embeddings", "files", "models", "moderations", "vector_stores",
)  # fmt: skip
"""What is compared."""
DEEPEST = 6
"""Schemas refer to themselves: beyond this nobody compares."""


@dataclass
class Fact:
    """One place. Without `values` it takes any; `required` is known of answers only."""

    types: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)
    required: bool = False
    takes_any_value: bool = False

    def written(self) -> list[Any]:
        return [sorted(self.types), self.required, sorted(self.values)]


Facts = dict[str, Fact]


def area_of(place: str) -> str:
    """`chat`, `models`: the first step of the path."""
    return re.split(r"[/ ?]", place.partition(" ")[2].lstrip("/"))[0]


def facts_of(document: Mapping[str, Any]) -> Facts:
    """Every fact of the document; paths lose their `/v1` and the names of their parameters."""
    found: Facts = {}
    for path, item in document["paths"].items():
        shown = re.sub(r"\{[^}]+\}", "{}", path.removeprefix("/v1"))
        for method in ("get", "post", "delete"):
            if (operation := item.get(method)) is not None:
                _operation(document, operation, f"{method.upper()} {shown}", found)
    return found


def _operation(document: Mapping[str, Any], operation: Mapping[str, Any], place: str, found: Facts) -> None:
    found[place] = Fact()
    for reference in operation.get("parameters", ()):
        parameter = _resolved(document, reference)
        if parameter["in"] == "query":
            found[f"{place}?{parameter['name']}"] = Fact()
    for name, body in (
        ("request", operation.get("requestBody", {})),
        ("answer", operation.get("responses", {}).get("200", {})),
    ):
        content = _resolved(document, body).get("content", {})
        for kind in ("application/json", "multipart/form-data"):
            if kind in content:
                _schema(document, content[kind]["schema"], f"{place} {name}", found, depth=0)


def _schema(document: Mapping[str, Any], schema: Any, place: str, found: Facts, *, depth: int) -> None:
    fact = found.setdefault(place, Fact())
    if depth > DEEPEST:
        return
    for branch in _branches(document, schema):
        values = branch.get("enum") or ([branch["const"]] if "const" in branch else [])
        kind = (
            "object" if "properties" in branch else "string" if values and "type" not in branch else branch.get("type")
        )
        if kind is not None:
            fact.types.add({"integer": "number"}.get(kind, kind))
        fact.values |= {str(value) for value in values}
        fact.takes_any_value |= not values
        for name, inner in branch.get("properties", {}).items():
            _schema(document, inner, f"{place}.{name}", found, depth=depth + 1)
            if " answer" in place and name in branch.get("required", ()):
                found[f"{place}.{name}"].required = True
        if "items" in branch:
            _schema(document, branch["items"], f"{place}[]", found, depth=depth + 1)


def _branches(document: Mapping[str, Any], schema: Any) -> Iterator[Mapping[str, Any]]:
    """The alternatives of a schema but null; `allOf` is one of them all."""
    schema = _resolved(document, schema)
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        for each in alternatives:
            yield from _branches(document, each)
    elif "allOf" in schema:
        merged: dict[str, Any] = {"properties": {}, "required": []}
        for part in schema["allOf"]:
            for branch in _branches(document, part):
                merged["properties"] |= branch.get("properties", {})
                merged["required"] += branch.get("required", [])
        yield merged
    elif isinstance(schema.get("type"), list):
        yield from ({**schema, "type": kind} for kind in schema["type"] if kind != "null")
    elif schema.get("type") != "null":
        yield schema


def _resolved(document: Mapping[str, Any], schema: Any) -> Mapping[str, Any]:
    while "$ref" in schema:
        node: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part.replace("~1", "/")]
        schema = node
    return schema  # type: ignore[no-any-return]  # JSON


def compare(promised: Mapping[str, list[Any]], ours: Facts) -> tuple[int, list[str]]:
    """How many facts were looked at, and those that do not hold."""
    count, missing = 0, []
    for place, (types, required, values) in promised.items():
        have = ours.get(place)
        wanted = [("", have is not None)]
        if have is not None:
            wanted += [(f" is a {kind}", kind in have.types or not have.types) for kind in types]
            wanted += [(f" may be {value}", have.takes_any_value or value in have.values) for value in values]
            wanted += [(" is always there", have.required)] if required else []
        else:
            count += len(types) + len(values) + required
            missing += [f"{place} (a fact more)"] * (len(types) + len(values) + required)
        count += len(wanted)
        missing += [f"{place}{what}" for what, holds in wanted if not holds]
    return count, missing


def main() -> None:
    found = facts_of(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    lines = [
        f" {json.dumps(place)}: {json.dumps(fact.written(), separators=(',', ':'))}"
        for place, fact in sorted(found.items())
        if area_of(place) in AREAS
    ]
    (golden.FOLDER / "openai_facts.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
