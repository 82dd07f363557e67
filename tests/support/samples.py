"""A plain value for each schema of an OpenAPI document, with everything optional in it."""

from collections.abc import Iterator, Mapping
from typing import Any

DEEPEST = 6
"""Schemas that hold themselves end here."""
Place = tuple[str | int, ...]


def sample(schema: Mapping[str, Any], document: Mapping[str, Any], *, depth: int = 0) -> Any:
    """Something of this shape."""
    if "$ref" in schema:
        named: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            named = named[step]
        return sample(named, document, depth=depth + 1) if depth <= DEEPEST else {}
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            options = [each for each in schema[several] if each.get("type") != "null"]
            return sample(options[0] if options else {}, document, depth=depth)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    match schema.get("type", "string"):
        case "object":
            return _object(schema, document, depth=depth)
        case "array":
            return [] if depth > DEEPEST else [sample(schema.get("items", {}), document, depth=depth + 1)]
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0)) + 1
        case "boolean":
            return False
        case _:
            return schema.get("examples", ["x" * max(1, schema.get("minLength", 1))])[0]


def _object(schema: Mapping[str, Any], document: Mapping[str, Any], *, depth: int) -> dict[str, Any]:
    required = schema.get("required", ())
    known = schema.get("properties", {})
    made = {
        name: sample(inner, document, depth=depth + 1)
        for name, inner in known.items()
        if name in required or depth < DEEPEST
    }
    if not known and isinstance(schema.get("additionalProperties"), Mapping):
        made["x"] = sample(schema["additionalProperties"], document, depth=depth + 1)
    return made


def texts_in(value: Any, place: Place = ()) -> Iterator[Place]:
    """Where in a value there are texts, names of fields left aside."""
    if isinstance(value, str):
        yield place
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from texts_in(inner, (*place, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from texts_in(inner, (*place, number))


def put(value: Any, place: Place, text: str) -> Any:
    """The value with another text at a place."""
    if not place:
        return text
    first, *rest = place
    if isinstance(value, dict):
        return {name: put(inner, tuple(rest), text) if name == first else inner for name, inner in value.items()}
    return [put(inner, tuple(rest), text) if number == first else inner for number, inner in enumerate(value)]
