"""YAML written from data, with the comments an author would leave. Nothing is ever pasted into a text."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 110
_PLAIN: Final = re.compile(
    r"-{0,2}[A-Za-z/][A-Za-z0-9_./@%+=:-]*( [A-Za-z0-9_./@%+=:-]+)*"
    r"|[0-9]+(s|m|mb|M|Mi|Gi)|[0-9]{1,3}(\.[0-9]{1,3}){3}|\."  # durations, sizes, addresses, here
)
_WORDS: Final = frozenset({"y", "n", "yes", "no", "true", "false", "on", "off", "null"})
_UNSEEN: Final = r"\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff"
"""What YAML takes for the end of a line, or does not take at all, and JSON leaves as it is."""
_ESCAPED: Final = re.compile(f"[{_UNSEEN}]")
_ROW: Final = rf"[^\x00-\x08\n-\x1f{_UNSEEN}]*[^\x00-\x1f\s{_UNSEEN}]\n"
_LITERAL: Final = re.compile(rf"(?=\S)(?:{_ROW}|\n)*{_ROW}")
"""Lines that come back as they are: none ends in a space, the first begins with none, and the last is not empty."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with a comment above its key or element."""

    note: str
    value: object


@dataclass(frozen=True, slots=True)
class Anchored:
    """A value that other places repeat by `Alias`."""

    name: str
    value: object


@dataclass(frozen=True, slots=True)
class Alias:
    """The value anchored under this name, once more."""

    name: str


def document(value: object) -> str:
    """One YAML document: mappings, sequences, text, numbers, booleans and None, in their order."""
    return "".join(f"{line}\n" for line in _block(value))


def documents(values: Sequence[object]) -> str:
    """Several in one file."""
    return "---\n".join(document(value) for value in values)


def _block(value: object) -> Iterator[str]:
    match value:
        case Mapping() if value:
            for key, inner in value.items():
                yield from _entry(f"{_scalar(key)}:", inner)
        case Sequence() if value and not isinstance(value, str | bytes):
            for inner in value:
                yield from _element(inner)
        case _:
            yield _inline(value)


def _entry(key: str, value: object) -> Iterator[str]:
    if isinstance(value, Noted):
        yield from _comment(value.note)
        value = value.value
    if isinstance(value, Anchored):
        key, value = f"{key} &{value.name}", value.value
    if isinstance(value, str) and _LITERAL.fullmatch(value):
        yield f"{key} |"
        yield from (f"  {line}".rstrip() for line in value.removesuffix("\n").split("\n"))
    elif _is_short(value, key):
        yield f"{key} {_inline(value)}"
    else:
        yield key
        yield from (f"  {line}" for line in _block(value))


def _element(value: object) -> Iterator[str]:
    if isinstance(value, Noted):
        yield from _comment(value.note)
        value = value.value
    lines = [_inline(value)] if _is_short(value, "-") else list(_block(value))
    first = next((at for at, line in enumerate(lines) if not line.lstrip().startswith("#")), 0)
    yield from lines[:first]
    yield f"- {lines[first]}"
    yield from (f"  {line}" for line in lines[first + 1 :])


def _comment(note: str) -> Iterator[str]:
    return (f"# {line}" for line in note.splitlines())


def _is_short(value: object, key: str) -> bool:
    """Whether it goes onto the line of its key: scalars, what is empty, and short lists of scalars."""
    match value:
        case Noted() | Anchored():
            return False
        case Mapping():
            return not value
        case Sequence() if not isinstance(value, str | bytes):
            is_flat = all(isinstance(each, str | int | float) for each in value)
            return is_flat and len(key) + len(_inline(value)) < WIDTH
        case _:
            return True


def _inline(value: object) -> str:
    match value:
        case Mapping():
            return "{}"
        case Sequence() if not isinstance(value, str | bytes):
            return f"[{', '.join(_scalar(each) for each in value)}]"
        case _:
            return _scalar(value)


def _scalar(value: object) -> str:
    match value:
        case Alias():
            return f"*{value.name}"
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            is_plain = _PLAIN.fullmatch(value) and ": " not in value and not value.endswith(":")
            return value if is_plain and value.lower() not in _WORDS else _quoted(value)
        case _:
            raise TypeError(f"YAML has no {type(value).__name__}.")


def _quoted(text: str) -> str:
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))
