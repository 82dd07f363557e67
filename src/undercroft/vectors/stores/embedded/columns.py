"""One metadata field of all points, so that a filter becomes a mask without a look at the database."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

import numpy as np
from numpy.typing import NDArray

from undercroft.vectors.filters import And, Eq, Exists, Filter, In, Not, Or, Range

Mask = NDArray[np.bool_]
Key = tuple[str, str | int | float | bool]
"""A value with its kind: 1 and True are one key of a dict, and not the same here."""

SMALLEST: Final = 1024


@dataclass(frozen=True, slots=True)
class Postings:
    """Where the values of each code are: those of one side by side, in order."""

    length: int
    """Values that it knows."""
    order: NDArray[np.int32]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, codes: NDArray[np.int32]) -> "Postings":
        counts = np.bincount(codes)
        starts = np.concatenate([[0], np.cumsum(counts)])
        return cls(len(codes), np.argsort(codes, kind="stable").astype(np.int32), starts)

    def places(self, code: int) -> NDArray[np.int32]:
        if code + 1 >= len(self.starts):
            return self.order[:0]
        return self.order[self.starts[code] : self.starts[code + 1]]


class Column:
    """Where a field has which value. Values are added at the end only; readers go by the length they know."""

    def __init__(self) -> None:
        self.length = 0
        self._places = np.zeros(SMALLEST, np.int32)
        """Position of the point, for each value: those of a list follow one another."""
        self._codes = np.zeros(SMALLEST, np.int32)
        self._known: dict[Key, int] = {}
        self._numbers = np.full(SMALLEST, np.nan)
        """The number that each code stands for."""
        self._postings: Postings | None = None

    def extend(self, values: Iterable[tuple[int, Any]]) -> None:
        """Adds the field's values, each with its point's position, in order."""
        places: list[int] = []
        codes: list[int] = []
        for position, value in values:
            for code in map(self._code, dict.fromkeys(value) if isinstance(value, list | tuple) else (value,)):
                places.append(position)
                codes.append(code)
        length = self.length + len(places)
        if length > len(self._places):
            self._places = grown(self._places, length)
            self._codes = grown(self._codes, length)
        self._places[self.length : length] = places
        self._codes[self.length : length] = codes
        self.length = length  # last: whoever reads it finds the rest in place

    def positions(self, value: str | float | bool, *, length: int) -> NDArray[np.int64]:
        """The points that have this value, in order, going by the first `length` values.

        Values that came since the postings were made are looked through, and become part of them when they are many.
        """
        code = self._known.get(key_of(value))
        if code is None:
            return np.zeros(0, np.int64)
        postings = self._postings
        if postings is None or length - postings.length > max(SMALLEST, postings.length // 8):
            postings = self._postings = Postings.of(self._codes[:length])
        found = postings.places(code)
        if postings.length > length:
            found = found[found < length]
        elif postings.length < length:
            late = np.flatnonzero(self._codes[postings.length : length] == code) + postings.length
            found = np.concatenate([found, late])
        return self._places[found].astype(np.int64)

    def mask(self, leaf: Eq | In | Range | Exists, *, length: int, points: int) -> Mask:
        """The points among the first `points` that fit, going by the first `length` values."""
        places, codes = self._places[:length], self._codes[:length]
        fitting: Mask
        match leaf:
            case Eq(_, value):
                fitting = codes == self._known.get(key_of(value), -1)
            case In(_, values):
                fitting = np.isin(codes, [self._known.get(key_of(value), -1) for value in values])
            case Exists():
                fitting = np.ones(length, np.bool_)
            case Range():
                fitting = self._within(leaf)[codes]
            case _:
                assert_never(leaf)
        mask = np.zeros(points, np.bool_)
        mask[places[fitting]] = True
        return mask

    def _within(self, bounds: Range) -> Mask:
        numbers = self._numbers
        within: Mask = ~np.isnan(numbers)
        for bound, holds in (
            (bounds.gt, np.greater),
            (bounds.gte, np.greater_equal),
            (bounds.lt, np.less),
            (bounds.lte, np.less_equal),
        ):
            if bound is not None:
                within &= holds(numbers, bound)
        return within

    def _code(self, value: str | float | bool) -> int:
        key = key_of(value)
        code = self._known.get(key)
        if code is None:
            code = len(self._known)
            if code >= len(self._numbers):
                numbers = np.full(2 * code, np.nan)
                numbers[:code] = self._numbers
                self._numbers = numbers
            if key[0] == "number":
                self._numbers[code] = value
            self._known[key] = code
        return code


def key_of(value: str | float | bool) -> Key:
    if isinstance(value, bool):
        return ("boolean", value)
    return ("text", value) if isinstance(value, str) else ("number", value)


def mask_of(where: Filter, *, points: int, leaf: Callable[[Eq | In | Range | Exists], Mask]) -> Mask:
    """The points that fit the whole filter; `leaf` tells of each comparison."""
    match where:
        case And(filters):
            mask = np.ones(points, np.bool_)
            for one in filters:
                mask &= mask_of(one, points=points, leaf=leaf)
            return mask
        case Or(filters):
            mask = np.zeros(points, np.bool_)
            for one in filters:
                mask |= mask_of(one, points=points, leaf=leaf)
            return mask
        case Not(filter):
            return ~mask_of(filter, points=points, leaf=leaf)
        case _:
            return leaf(where)


def grown(array: Any, length: int) -> Any:
    """A longer array that begins as this one does."""
    longer = np.zeros((max(2 * len(array), length), *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def field_values(rows: Iterable[tuple[int, Mapping[str, Any]]], field: str) -> Iterable[tuple[int, Any]]:
    """The field of those that have it."""
    return ((position, metadata[field]) for position, metadata in rows if field in metadata)
