"""What is different between two versions, as lines that people read."""

import difflib
from collections.abc import Iterator

import msgspec

from undercroft.versions.content import Content, Version


def diff(before: Version, after: Version) -> str:
    """A unified diff of the contents; empty when they are the same. Texts are compared line by line."""
    return "\n".join(
        difflib.unified_diff(
            list(_lines(before.content)),
            list(_lines(after.content)),
            f"{before.name}@{before.short}",
            f"{after.name}@{after.short}",
            lineterm="",
        )
    )


def _lines(content: Content) -> Iterator[str]:
    yield from _of("", msgspec.to_builtins(content))


def _of(place: str, value: object) -> Iterator[str]:
    """`place = value`, a line a leaf; a text of several lines has each on its own."""
    match value:
        case dict():
            for name in sorted(value):
                yield from _of(f"{place}.{name}" if place else str(name), value[name])
        case list() | tuple():
            for position, each in enumerate(value):
                yield from _of(f"{place}[{position}]", each)
        case str() if "\n" in value:
            yield f"{place} ="
            yield from (f"  {line}" for line in value.splitlines())
        case _:
            yield f"{place} = {msgspec.json.encode(value).decode()}"
