"""What Terraform's providers take, from the types that were generated of their own schemas."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import packages

PACKAGES = {
    "aws": (
        "@cdktf/provider-aws",
        "21.22.1",
        "d1446ab6ac6526c6fab4b28a5ebefdd90c0ce56203949925d35a4d286c05cbbf",
    ),
    "random": (
        "@cdktf/provider-random",
        "12.0.1",
        "0985d2da0531360057251dd68b57a0353efe561f4f3b8d4bae483f9f2cffcbee",
    ),
}
"""By the provider; those of AWS's are of its version 6.25."""
META = {"count", "for_each", "lifecycle", "depends_on", "provider"}
_INTERFACE = re.compile(r"^export interface (\w+)[^{]*\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"#(\w+) \w+#\w+\}.*?readonly \w+(\??): ([^;]+);", re.DOTALL)


@dataclass(frozen=True)
class Field:
    is_required: bool
    inner: str
    """The interface of the block that it is; empty: an attribute."""


Interfaces = Mapping[str, Mapping[str, Field]]


def folders() -> dict[str, Path] | None:
    """The types of each provider; None where they are not to be had."""
    found = {provider: packages.npm(*package) for provider, package in PACKAGES.items()}
    return {provider: each for provider, each in found.items() if each is not None} if all(found.values()) else None


@cache
def interfaces(path: Path) -> Interfaces:
    """Those of a file of types, by their names: what each may hold, by its name in Terraform."""
    found = dict(_INTERFACE.findall(path.read_text("utf-8")))
    return {
        name: {
            field: Field(not optional, next((each for each in re.findall(r"\w+", kind) if each in found), ""))
            for field, optional, kind in _FIELD.findall(text)
        }
        for name, text in found.items()
    }


def complaints(types: Mapping[str, Path], kind: str, name: str, body: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a `resource`, `data` or `ephemeral` (the kind) of that name, as python-hcl2 has read it.

    What is ephemeral takes what the resource of its name takes.
    """
    provider, *words = name.split("_")
    if kind == "data":
        words = ["data", provider, *words]
    path = types[provider] / "lib" / "-".join(words) / "index.d.ts"
    if not path.exists():
        yield f"there is no {kind} {name}"
        return
    known = interfaces(path)
    root = "".join(word.capitalize() for word in words) + "Config"
    yield from _wrong(f"{kind} {name}", body, root, known)


def _wrong(where: str, body: Mapping[str, Any], interface: str, known: Interfaces) -> Iterator[str]:
    fields = known[interface]
    given = {key: value for key, value in body.items() if not key.startswith("__") and key not in META}
    for dynamic in given.pop("dynamic", []):
        for key, block in dynamic.items():
            given[key.strip('"')] = block["content"]
    for key, value in given.items():
        if key not in fields:
            yield f"{where}: {key} is not known"
        elif inner := fields[key].inner:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    yield from _wrong(f"{where}.{key}", each, inner, known)
    for key, field in fields.items():
        if field.is_required and key not in given:
            yield f"{where}: {key} is missing"
