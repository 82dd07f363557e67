"""Which points are meant: one expression, read from JSON, evaluated in Python, compiled by each store.

The rules that every store follows:
- a field that is a list fits when one of its elements does;
- a field that is missing fits nothing but `Not`; texts, numbers and booleans never equal one another;
- ranges compare numbers, and only numbers;
- `And()` of nothing fits everything, `Or()` of nothing fits nothing.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from undercroft.vectors.errors import InvalidFilter

DEPTH: Final = 16
"""How deep a filter may be nested."""
TERMS: Final = 1000
"""Comparisons and listed values of one filter, at most."""
FIELD_CHARACTERS: Final = 64
LARGEST_INTEGER: Final = 2**53
"""Larger ones change on their way through JSON."""

Operand: TypeAlias = str | int | float | bool


class Eq(msgspec.Struct, frozen=True):
    """The field is this."""

    field: str
    value: Operand


class In(msgspec.Struct, frozen=True):
    """The field is one of these."""

    field: str
    values: tuple[Operand, ...]


class Range(msgspec.Struct, frozen=True):
    """The field is a number within all bounds that are given, at least one."""

    field: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None

    def __post_init__(self) -> None:
        if self.gt is self.gte is self.lt is self.lte is None:
            raise ValueError(f"The range of {self.field!r} has no bound.")


class Exists(msgspec.Struct, frozen=True):
    """The field is there."""

    field: str


class And(msgspec.Struct, frozen=True):
    """All of them."""

    filters: tuple["Filter", ...]


class Or(msgspec.Struct, frozen=True):
    """Any of them."""

    filters: tuple["Filter", ...]


class Not(msgspec.Struct, frozen=True):
    """The points that it does not fit."""

    filter: "Filter"


Filter: TypeAlias = Eq | In | Range | Exists | And | Or | Not


def matches(where: "Filter | None", metadata: Mapping[str, Any]) -> bool:
    """Whether a point with this metadata is meant. The stores' answers are tested against this one."""
    match where:
        case None:
            return True
        case Eq(field, value):
            return any(is_same(held, value) for held in _held(metadata, field))
        case In(field, values):
            return any(is_same(held, value) for held in _held(metadata, field) for value in values)
        case Range():
            return any(is_number(held) and within(where, held) for held in _held(metadata, where.field))
        case Exists(field):
            return field in metadata
        case And(filters):
            return all(matches(one, metadata) for one in filters)
        case Or(filters):
            return any(matches(one, metadata) for one in filters)
        case Not(filter):
            return not matches(filter, metadata)


def is_same(held: object, value: object) -> bool:
    """Equal, and of one kind: 1 is 1.0, and neither is True or "1"."""
    return held == value and isinstance(held, bool) == isinstance(value, bool)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def within(bounds: Range, number: float) -> bool:
    return (
        (bounds.gt is None or number > bounds.gt)
        and (bounds.gte is None or number >= bounds.gte)
        and (bounds.lt is None or number < bounds.lt)
        and (bounds.lte is None or number <= bounds.lte)
    )


def leaves(where: "Filter | None") -> Iterator[Eq | In | Range | Exists]:
    """Every comparison in it."""
    match where:
        case None:
            return
        case And(filters) | Or(filters):
            for one in filters:
                yield from leaves(one)
        case Not(filter):
            yield from leaves(filter)
        case _:
            yield where


def _held(metadata: Mapping[str, Any], field: str) -> tuple[Any, ...]:
    value = metadata.get(field)
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def parse(source: object, *, param: str = "filter") -> Filter:
    """Reads decoded JSON in the form of OpenAI's attribute filters, with `not` and `exists` besides.

    `{"type": "and", "filters": [{"type": "eq", "key": "lang", "value": "en"}, {"type": "gte", "key": "year", "value":
    2024}]}`; types: eq, ne, gt, gte, lt, lte, in, nin, exists (`key` alone), and, or (`filters`), not (`filter`).
    Raises InvalidFilter, whose `param` is where the fault lies.
    """
    reader = _Reader()
    return reader.read(source, at=param, depth=1)


def unparse(where: Filter) -> dict[str, Any]:
    """The JSON that `parse` reads as this."""
    match where:
        case Eq(field, value):
            return {"type": "eq", "key": field, "value": value}
        case In(field, values):
            return {"type": "in", "key": field, "value": list(values)}
        case Range(field):
            bounds = [(name, getattr(where, name)) for name in ("gt", "gte", "lt", "lte")]
            parts = [{"type": name, "key": field, "value": bound} for name, bound in bounds if bound is not None]
            return parts[0] if len(parts) == 1 else {"type": "and", "filters": parts}
        case Exists(field):
            return {"type": "exists", "key": field}
        case And(filters):
            return {"type": "and", "filters": [unparse(one) for one in filters]}
        case Or(filters):
            return {"type": "or", "filters": [unparse(one) for one in filters]}
        case Not(filter):
            return {"type": "not", "filter": unparse(filter)}


class _Reader:
    def __init__(self) -> None:
        self._terms = 0

    def read(self, source: object, *, at: str, depth: int) -> Filter:
        if not isinstance(source, dict):
            raise InvalidFilter(f"{at} is no object.", param=at, hint='It looks like {"type": "eq", "key": …}.')
        if depth > DEPTH:
            raise InvalidFilter(f"The filter is nested more than {DEPTH} deep.", param=at)
        given = source.get("type")
        kind: str = given if isinstance(given, str) else ""
        known = KINDS.get(kind)
        if known is None:
            raise InvalidFilter(
                f"{at}.type is {given!r}, which is no comparison.",
                param=f"{at}.type",
                hint=f"Known: {', '.join(KINDS)}.",
            )
        for name in (*known, *source):
            if name not in source:
                raise InvalidFilter(f"{at}.{name} is missing.", param=f"{at}.{name}")
            if name not in ("type", *known):
                raise InvalidFilter(f"{at} has an unknown part {name!r}.", param=f"{at}.{name}")
        if kind in ("and", "or"):
            return self._several(kind, source["filters"], at=f"{at}.filters", depth=depth)
        if kind == "not":
            return Not(self.read(source["filter"], at=f"{at}.filter", depth=depth + 1))
        self._count(1, at)
        field = field_name(source["key"], at=f"{at}.key")
        if kind == "exists":
            return Exists(field)
        return self._comparison(kind, field, source["value"], at=f"{at}.value")

    def _several(self, kind: str, parts: object, *, at: str, depth: int) -> Filter:
        if not isinstance(parts, list):
            raise InvalidFilter(f"{at} is no list.", param=at)
        read = tuple(self.read(one, at=f"{at}[{place}]", depth=depth + 1) for place, one in enumerate(parts))
        return And(read) if kind == "and" else Or(read)

    def _comparison(self, kind: str, field: str, value: object, *, at: str) -> Filter:
        if kind in ("in", "nin"):
            if not isinstance(value, list):
                raise InvalidFilter(f"{at} is no list.", param=at)
            self._count(len(value), at)
            one_of = In(field, tuple(operand(one, at=f"{at}[{place}]") for place, one in enumerate(value)))
            return one_of if kind == "in" else Not(one_of)
        checked = operand(value, at=at)
        if kind in ("eq", "ne"):
            return Eq(field, checked) if kind == "eq" else Not(Eq(field, checked))
        if isinstance(checked, str | bool):
            raise InvalidFilter(
                f"{at} is no number, and {kind} compares numbers.", param=at, hint="Keep dates as Unix seconds."
            )
        return Range(field, **{kind: checked})

    def _count(self, terms: int, at: str) -> None:
        self._terms += terms
        if self._terms > TERMS:
            raise InvalidFilter(f"The filter has more than {TERMS} terms.", param=at)


_COMPARED: Final = ("key", "value")
KINDS: Final = dict.fromkeys(("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"), _COMPARED) | {
    "exists": ("key",),
    "and": ("filters",),
    "or": ("filters",),
    "not": ("filter",),
}


def operand(value: object, *, at: str) -> Operand:
    """A value that can be compared with. Raises InvalidFilter."""
    if fault := scalar_fault(value):
        raise InvalidFilter(f"{at} {fault}", param=at)
    assert isinstance(value, str | int | float | bool)
    return value


def scalar_fault(value: object) -> str | None:
    """Why this cannot stand in a field: the rest of a sentence that begins with its place."""
    match value:
        case bool():
            return None
        case int():
            return None if abs(value) <= LARGEST_INTEGER else "is beyond 2**53, where JSON numbers are not exact."
        case float():
            return None if math.isfinite(value) else "is not a finite number."
        case str():
            return text_fault(value)
        case _:
            return "is no text, number or boolean."


def text_fault(text: str) -> str | None:
    """Why no store can keep this text."""
    if "\0" in text:
        return "holds the character NUL, which databases cannot keep."
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "holds half a surrogate pair, which is no character."
    return None


def field_fault(name: object) -> str | None:
    """Why this cannot be the name of a field."""
    if not isinstance(name, str):
        return "is no text."
    if not 1 <= len(name) <= FIELD_CHARACTERS:
        return f"has {len(name)} characters; a field's name has 1 to {FIELD_CHARACTERS}."
    if name.startswith("$") or not name.isprintable() or any(character in '"\\' for character in name):
        return "may not begin with $ nor hold quotation marks, backslashes or control characters."
    return None


def field_name(name: object, *, at: str) -> str:
    """Raises InvalidFilter."""
    if fault := field_fault(name):
        raise InvalidFilter(f"{at} {fault}", param=at)
    assert isinstance(name, str)
    return name
