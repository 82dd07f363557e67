"""Metadata and filters for services that know less than our filters ask: lists of texts, and numbers.

Services differ in what `not equal` says of a field that is missing, holds a list or another type, and some cannot say
"not" of a whole expression. So each point gets a list of terms, which every service compares alike: one for each value,
field and number that it has. A filter becomes "has any of these terms", "has none of them" and comparisons of numbers.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from undercroft.vectors.filters import And, Eq, Exists, Filter, In, Not, Operand, Or, Range, is_number
from undercroft.vectors.types import Metadata

TERM_CHARACTERS: Final = 200
"""Longer ones are kept as their hash."""

Bound: TypeAlias = Literal["gt", "gte", "lt", "lte"]
OPPOSITES: Final[Mapping[Bound, Bound]] = {"gt": "lte", "gte": "lt", "lt": "gte", "lte": "gt"}


@dataclass(frozen=True, slots=True)
class HasTerm:
    """The point has any of these terms; or, negated, none."""

    terms: tuple[str, ...]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """The field is a number on this side of the bound; a point without it does not fit."""

    field: str
    bound: Bound
    number: float


@dataclass(frozen=True, slots=True)
class Every:
    parts: tuple["Plan", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple["Plan", ...]


Plan: TypeAlias = bool | HasTerm | Compared | Every | AnyOf
"""A filter without `Not`: True fits everything, False nothing; neither stands inside another."""


def terms_of(metadata: Metadata) -> list[str]:
    """What a point with this metadata is found by."""
    terms = []
    for field, held in metadata.items():
        terms.append(_there(field))
        if is_number(held):
            terms.append(_numeric(field))
        values = held if isinstance(held, list | tuple) else (held,)
        terms += dict.fromkeys(_equal(field, value) for value in values)
    return terms


def numbers_of(metadata: Metadata) -> dict[str, float]:
    """The fields that ranges compare."""
    return {field: float(held) for field, held in metadata.items() if is_number(held) and isinstance(held, int | float)}


def plan_of(where: Filter | None, *, is_negated: bool = False) -> Plan:
    """The same filter in terms and numbers, negations moved to its leaves."""
    match where:
        case None:
            return not is_negated
        case Not(filter):
            return plan_of(filter, is_negated=not is_negated)
        case And(filters) | Or(filters):
            parts = [plan_of(one, is_negated=is_negated) for one in filters]
            return _every(parts) if isinstance(where, And) != is_negated else _any_of(parts)
        case Eq(field, value):
            return HasTerm((_equal(field, value),), is_negated)
        case In(field, values):
            terms = tuple(dict.fromkeys(_equal(field, value) for value in values))
            return HasTerm(terms, is_negated) if terms else is_negated
        case Exists(field):
            return HasTerm((_there(field),), is_negated)
        case Range():
            return _range(where, is_negated=is_negated)


def _range(where: Range, *, is_negated: bool) -> Plan:
    names: tuple[Bound, ...] = ("gt", "gte", "lt", "lte")
    bounds = [(name, float(number)) for name in names if (number := getattr(where, name)) is not None]
    if is_negated:
        beyond = [Compared(where.field, OPPOSITES[name], number) for name, number in bounds]
        return _any_of([HasTerm((_numeric(where.field),), is_negated=True), *beyond])
    return _every(
        [Compared(where.field, name, number) for name, number in bounds] or [HasTerm((_numeric(where.field),))]
    )


def _every(parts: list[Plan]) -> Plan:
    kept = tuple(part for part in parts if part is not True)
    if any(part is False for part in kept):
        return False
    return True if not kept else kept[0] if len(kept) == 1 else Every(kept)


def _any_of(parts: list[Any]) -> Plan:
    kept = tuple(part for part in parts if part is not False)
    if any(part is True for part in kept):
        return True
    return False if not kept else kept[0] if len(kept) == 1 else AnyOf(kept)


def _there(field: str) -> str:
    return f'"{field}"?'


def _numeric(field: str) -> str:
    return f'"{field}"#'


def _equal(field: str, value: Operand) -> str:
    """Begins and ends with a mark that no service trims; no two of different kind are alike."""
    # 1 and 1.0 are the same, and so are 0.0 and -0.0.
    written = repr(float(value) + 0.0) if is_number(value) else json.dumps(value, ensure_ascii=False)
    if len(written) > TERM_CHARACTERS:
        written = f"sha256:{hashlib.sha256(written.encode()).hexdigest()}"
    return f'"{field}"={written}'
