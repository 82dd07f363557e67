"""A collection in memory: what is derived from its rows, so that a search looks at the database only for its hits.

Arrays grow at their end, and a `View` knows how far they went when it was made. So searches need no lock, and go on
undisturbed while rows are added or removed.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from undercroft.vectors.filters import And, Eq, Exists, Filter, In, Range, leaves
from undercroft.vectors.stores.embedded import scoring, truth
from undercroft.vectors.stores.embedded.columns import Column, Mask, field_values, grown, mask_of
from undercroft.vectors.stores.embedded.graph import Graph
from undercroft.vectors.stores.embedded.planner import SIGNS_FROM
from undercroft.vectors.stores.embedded.scoring import Floats, Planes, Positions
from undercroft.vectors.types import CollectionSpec

SPARE: Final = 4096
"""Points that an array has room for beyond those it holds, at least."""
CHOICES: Final = 8_000_000
"""Bytes of answered filters that a view remembers."""
CHOICE: Final = 500
"""Bytes of one, besides its arrays."""
FEW: Final = 8
"""Points are listed where they are fewer than one in so many."""
UNIT: Final = 1e-3
"""How far a length may be from 1 for signs to tell who is near."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The points that a search is about: all, or as a mask, or, where they are few, as a list in order."""

    number: int
    mask: Mask | None = None
    positions: Positions | None = None

    @property
    def is_all(self) -> bool:
        return self.mask is None and self.positions is None

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(each.nbytes for each in (self.mask, self.positions) if each is not None) + CHOICE

    def listed(self) -> Positions | None:
        """None: all."""
        return self.positions if self.mask is None else np.flatnonzero(self.mask)

    def holds(self, positions: Positions) -> Mask:
        """Which of these it is about."""
        if self.mask is not None:
            return self.mask[positions]
        if self.positions is None:
            return np.ones(len(positions), np.bool_)
        if not len(self.positions):
            return np.zeros(len(positions), np.bool_)
        at = np.minimum(np.searchsorted(self.positions, positions), len(self.positions) - 1)
        held: Mask = self.positions[at] == positions
        return held


NOBODY: Final = Choice(0, positions=np.zeros(0, np.int64))


class Remembered:
    """Choices by what was asked for, no more than CHOICES bytes of them."""

    def __init__(self) -> None:
        self._choices: dict[str, Choice] = {}
        self._size = 0

    def get(self, asked: str) -> Choice | None:
        return self._choices.get(asked)

    def add(self, asked: str, choice: Choice) -> None:
        if self._size + choice.size > CHOICES:
            self._choices.clear()
            self._size = 0
        self._choices[asked] = choice
        self._size += choice.size


@dataclass(frozen=True, slots=True)
class View:
    """The collection as it stands at some moment. Arrays are cut to the points there are."""

    number: int
    rows: NDArray[np.int64]
    vectors: Floats
    planes: Planes | None
    alive: Mask | None
    """None: none was removed."""
    living: int
    spaces: NDArray[np.int32]
    space_codes: Mapping[str, int]
    columns: Mapping[str, tuple[Column, int]]
    """Each with its length."""
    graph: Graph | None
    choices: Remembered = field(default_factory=Remembered)

    def choose(self, namespace: str, where: Filter | None) -> Choice:
        """The living points of a namespace that fit. Every field of `where` must be in `columns`."""
        code = self.space_codes.get(namespace)
        if code is None:
            return NOBODY
        if where is None and self.alive is None and len(self.space_codes) == 1:
            return Choice(self.number)
        key = f"{namespace}\n{where!r}"  # not the filter itself: Eq("a", 1) equals Eq("a", True)
        if (known := self.choices.get(key)) is not None:
            return known
        choice = self._few(code, where) or self._masked(code, where)
        self.choices.add(key, choice)
        return choice

    def _few(self, code: int, where: Filter | None) -> Choice | None:
        """What one comparison leaves, looked up instead of looked for; None where that is not little."""
        every = where.filters if isinstance(where, And) else (where,)
        first, others = every[0] if every else None, every[1:]
        if not isinstance(first, Eq):
            return None
        column, length = self.columns[first.field]
        positions = column.positions(first.value, length=length)
        if len(positions) * FEW >= self.number:
            return None
        if self.alive is not None:
            positions = positions[self.alive[positions]]
        if len(self.space_codes) > 1:
            positions = positions[self.spaces[positions] == code]
        for other in others:
            positions = positions[mask_of(other, points=self.number, leaf=self._leaf)[positions]]
        return Choice(len(positions), positions=positions)

    def _masked(self, code: int, where: Filter | None) -> Choice:
        mask: Mask = np.ones(self.number, np.bool_) if self.alive is None else self.alive.copy()
        if len(self.space_codes) > 1:
            mask &= self.spaces == code
        if where is not None:
            mask &= mask_of(where, points=self.number, leaf=self._leaf)
        number = int(np.count_nonzero(mask))
        return Choice(number, positions=np.flatnonzero(mask)) if number * FEW < self.number else Choice(number, mask)

    def _leaf(self, leaf: Eq | In | Range | Exists) -> Mask:
        column, length = self.columns[leaf.field]
        return column.mask(leaf, length=length, points=self.number)


class Resident:
    """Keeps up with the rows of one collection. One thread at a time changes it; `view` may be read by any."""

    def __init__(self, number: int, spec: CollectionSpec, *, room: int = 0) -> None:
        self.number = number
        self.spec = spec
        self.last_row = 0
        self.change = 0
        """The last removal that is known."""
        self.is_unit = True
        """Whether all vectors are of length 1."""
        self._is_unsure = False
        """Whether some of the points may be gone without our knowing."""
        room += SPARE
        self._rows = np.zeros(room, np.int64)
        self._vectors = np.zeros((room, spec.dimension), np.float32)
        self._spaces = np.zeros(room, np.int32)
        self._planes: Planes | None = None
        self.view = View(
            number=0,
            rows=self._rows[:0],
            vectors=self._vectors[:0],
            planes=None,
            alive=None,
            living=0,
            spaces=self._spaces[:0],
            space_codes={},
            columns={},
            graph=None,
        )

    def restore(
        self, rows: NDArray[np.int64], vectors: Floats, spaces: NDArray[np.int32], codes: Mapping[str, int], number: int
    ) -> None:
        """Takes the first `number` points from arrays that may have room for more, instead of reading them."""
        self._rows, self._vectors, self._spaces = grown(rows, number + SPARE), vectors, grown(spaces, number + SPARE)
        self.last_row = int(rows[number - 1])
        self._is_unsure = True
        self._measure(0, number)
        self._show(number, alive=None, codes=codes)

    def catch_up(self, connection: sqlite3.Connection) -> None:
        """Takes in what was written since, in one snapshot."""
        removed = truth.removed_since(connection, self.number, self.change) if self.view.number else []
        change, last_row = truth.last_change(connection), truth.last_row(connection)
        number, codes = self.view.number, dict(self.view.space_codes)
        known = self.last_row
        for some in truth.vectors_after(connection, self.number, known):
            number = self._add(some, number, codes)
        self._extend_columns(connection, known, self._rows[:number], self.view.columns)
        alive = self._alive(connection, removed, number)
        self.change, self.last_row = change, max(known, last_row)
        self._show(number, alive=alive, codes=codes)

    def learn(self, connection: sqlite3.Connection, where: Filter | None) -> None:
        """Makes a column of every field of the filter that has none yet."""
        missing = {leaf.field for leaf in leaves(where)} - set(self.view.columns)
        if missing:
            columns = {name: (Column(), 0) for name in missing}
            self._extend_columns(connection, 0, self.view.rows, columns)
            fresh = {name: (column, column.length) for name, (column, _) in columns.items()}
            self.view = replace(self.view, columns={**self.view.columns, **fresh}, choices=Remembered())

    def use(self, graph: Graph | None) -> None:
        """From now on searches may ask this graph."""
        self.view = replace(self.view, graph=graph)

    @property
    def memory_bytes(self) -> int:
        view = self.view
        planes = 0 if view.planes is None else view.planes.nbytes
        graph = 0 if view.graph is None else view.graph.memory_bytes
        return int(view.vectors.nbytes + view.rows.nbytes + view.spaces.nbytes + planes + graph)

    def _add(self, some: Sequence[tuple[int, str, bytes]], number: int, codes: dict[str, int]) -> int:
        end = number + len(some)
        if end > len(self._rows):
            self._rows, self._vectors = grown(self._rows, end), grown(self._vectors, end)
            self._spaces = grown(self._spaces, end)
        elif end > len(self._vectors):
            self._vectors = grown(self._vectors, end)
        self._rows[number:end] = [row for row, _, _ in some]
        self._spaces[number:end] = [codes.setdefault(namespace, len(codes)) for _, namespace, _ in some]
        raw = np.frombuffer(b"".join([vector for _, _, vector in some]), np.float32)
        vectors = raw.reshape(len(some), self.spec.dimension)
        if self.spec.metric == "cosine":
            vectors = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        self._vectors[number:end] = vectors
        self._measure(number, end)
        return end

    def _measure(self, start: int, end: int) -> None:
        """Looks at new vectors: their length, and their signs."""
        if self.spec.metric == "euclidean" or self.spec.dimension < SIGNS_FROM:
            self.is_unit = self.spec.metric == "cosine"
            return
        for first in range(start, end, scoring.CHUNK):
            vectors = self._vectors[first : min(first + scoring.CHUNK, end)]
            if self.spec.metric == "dot" and self.is_unit:
                self.is_unit = bool(np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1) < UNIT))
            signs = scoring.sign_planes(vectors)
            if self._planes is None or self._planes.shape[1] < first + len(vectors):
                self._planes = _wider(self._planes, signs.shape[0], max(len(self._vectors), end))
            self._planes[:, first : first + len(vectors)] = signs

    def _extend_columns(
        self,
        connection: sqlite3.Connection,
        known: int,
        rows: NDArray[np.int64],
        columns: Mapping[str, tuple[Column, int]],
    ) -> None:
        """Adds what stands past the row `known` in these fields."""
        if not columns or not len(rows) or int(rows[-1]) <= known:
            return
        found = [(row, raw) for row, raw in truth.metadata_after(connection, self.number, known) if row <= rows[-1]]
        positions = np.searchsorted(rows, [row for row, _ in found])
        values = [(int(at), truth.decode_metadata(raw)) for at, (_, raw) in zip(positions, found, strict=True)]
        for name, (column, _) in columns.items():
            column.extend(field_values(values, name))

    def _alive(self, connection: sqlite3.Connection, removed: list[int] | None, number: int) -> Mask | None:
        former, before = self.view.alive, self.view.number
        alive: Mask = np.ones(number, np.bool_)
        if former is not None:
            alive[:before] = former
        if removed is None or self._is_unsure:  # too far behind, or restored from files
            self._is_unsure = False
            there = truth.rows_there(connection, self.number, up_to=int(self._rows[number - 1]) if number else 0)
            alive = np.isin(self._rows[:number], np.array(there, np.int64))
        elif removed and number:
            gone = np.array(removed, np.int64)
            at = np.minimum(np.searchsorted(self._rows[:number], gone), number - 1)
            alive[at[self._rows[at] == gone]] = False
        elif former is None:
            return None
        return None if alive.all() else alive

    def _show(self, number: int, *, alive: Mask | None, codes: Mapping[str, int]) -> None:
        signs = self._planes is not None and (self.spec.metric == "cosine" or self.is_unit)
        self.view = replace(
            self.view,
            number=number,
            rows=self._rows[:number],
            vectors=self._vectors[:number],
            planes=self._planes[:, :number] if signs and self._planes is not None else None,
            alive=alive,
            living=number if alive is None else int(np.count_nonzero(alive)),
            spaces=self._spaces[:number],
            space_codes=codes,
            columns={name: (column, column.length) for name, (column, _) in self.view.columns.items()},
            choices=Remembered(),
        )


def _wider(planes: Planes | None, height: int, width: int) -> Any:
    wider = np.zeros((height, width), np.uint64)
    if planes is not None:
        wider[:, : planes.shape[1]] = planes
    return wider
