"""The approximate index (HNSW, by usearch) over points' positions: grows, while searches go another way."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from undercroft.errors import MissingExtra
from undercroft.vectors.stores.embedded.scoring import Floats, Positions
from undercroft.vectors.types import CollectionSpec

CHUNK: Final = 512
"""Points added at once: so long a search that finds the graph busy takes another way."""


class Graph:
    """Holds the first `length` points. What is dead among them stays, and is left out by whoever searches."""

    def __init__(self, spec: CollectionSpec, *, is_unit: bool) -> None:
        self._index = new_index(spec, is_unit=is_unit)
        self.length = 0
        self._gate = _Gate()

    def extend(self, vectors: Floats, *, length: int, threads: int, goes_on: Callable[[], bool]) -> bool:
        """Adds the points up to `length`; False when it was told to stop."""
        while self.length < length:
            if not goes_on():
                return False
            end = min(self.length + CHUNK, length)
            some = vectors[self.length : end]
            with self._gate.alone():
                self._index.add(np.arange(self.length, end), some, threads=threads)
                self.length = end
        return True

    def nearest(self, query: Floats, number: int) -> Positions | None:
        """Positions of about the nearest points; None when it is growing just now."""
        if not self._gate.enter():
            return None
        try:
            # The number of answers is the number of candidates too, so searches share no setting.
            found = self._index.search(query, number)
            return found.keys.astype(np.int64)  # type: ignore[no-any-return]  # usearch has no types
        finally:
            self._gate.leave()

    def save(self, file: Path) -> None:
        self._index.save(str(file))

    def load(self, file: Path, *, length: int) -> bool:
        """Reads it back; False when the file holds something else."""
        try:
            self._index.load(str(file))
        except (RuntimeError, ValueError, OSError):  # usearch's word for a file that it cannot read
            return False
        self.length = length
        return len(self._index) == length

    @property
    def memory_bytes(self) -> int:
        return int(self._index.memory_usage)


def new_index(spec: CollectionSpec, *, is_unit: bool) -> Any:
    """An empty one. What it holds only chooses candidates, so of vectors of length 1 a byte a number is enough."""
    try:
        from usearch.index import Index
    except ImportError as error:
        raise MissingExtra("The embedded vector store", extra="vectors") from error
    return Index(
        ndim=spec.dimension,
        metric="l2sq" if spec.metric == "euclidean" else "ip",
        dtype="i8" if is_unit else "f32",
        connectivity=spec.index.connectivity,
        expansion_add=spec.index.build_effort,
        expansion_search=1,
    )


class _Gate:
    """Many at a time inside, or one alone. Nobody waits to enter: whoever finds it shut goes elsewhere."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._is_shut = False

    def enter(self) -> bool:
        with self._changed:
            if self._is_shut:
                return False
            self._inside += 1
            return True

    def leave(self) -> None:
        with self._changed:
            self._inside -= 1
            if not self._inside:
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._is_shut = True
            while self._inside:
                self._changed.wait()
        try:
            yield
        finally:
            with self._changed:
                self._is_shut = False
