"""What a JSON Schema refers to outside itself: nothing that a caller writes may have the server fetch it."""

from collections.abc import Iterator
from typing import Any, Final

_REFERENCES: Final = ("$ref", "$dynamicRef")


def foreign_reference(schema: object) -> str | None:
    """The first reference that does not stay within the schema, if there is one."""
    return next((each for each in _references(schema) if not each.startswith("#")), None)


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name in _REFERENCES and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list | tuple):
        for each in schema:
            yield from _references(each)
