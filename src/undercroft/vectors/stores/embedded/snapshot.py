"""What was derived, kept in files, so that a start need not derive it again.

A snapshot is a folder that never changes once it has its name. Vectors are mapped from it, privately: processes share
what is on disk and each adds its own. Whatever is missing or does not fit is derived anew.
"""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from undercroft.vectors.stores.embedded import truth
from undercroft.vectors.stores.embedded.graph import Graph
from undercroft.vectors.stores.embedded.resident import Resident
from undercroft.vectors.stores.embedded.scoring import Floats
from undercroft.vectors.types import CollectionSpec

FORMAT: Final = 1
SAMPLE: Final = 64
"""Vectors of a snapshot that are compared with the truth before it is believed."""


class _Description(msgspec.Struct, frozen=True):
    format: int
    number: int
    """Of the collection."""
    dimension: int
    metric: str
    points: int
    room: int
    """Points that the file of vectors has room for: what lies past `points` is a hole, and takes no disk."""
    spaces: dict[str, int]
    is_unit: bool
    sizes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back."""

    resident: Resident
    graph: Graph


def save(folder: Path, resident: Resident, graph: Graph) -> None:
    """Writes down the points that the graph holds. Only who has the folder's turn may."""
    view, points = resident.view, graph.length
    last = int(view.rows[points - 1])
    making, done = folder / "making", folder / f"snapshot-{last}"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    room = int(points * 1.5) + 10_000
    with (making / "vectors.f32").open("wb") as file:
        view.vectors[:points].tofile(file)
        file.truncate(room * resident.spec.dimension * 4)
    view.rows[:points].tofile(making / "rows.i64")
    view.spaces[:points].tofile(making / "spaces.i32")
    graph.save(making / "graph.usearch")
    description = _Description(
        format=FORMAT,
        number=resident.number,
        dimension=resident.spec.dimension,
        metric=resident.spec.metric,
        points=points,
        room=room,
        spaces=dict(view.space_codes),
        is_unit=resident.is_unit,
        sizes={part.name: part.stat().st_size for part in making.iterdir()},
    )
    (making / "description.json").write_bytes(msgspec.json.encode(description))
    for part in making.iterdir():
        _sync(part)
    shutil.rmtree(done, ignore_errors=True)
    making.rename(done)
    _sync(folder)
    for other in folder.glob("snapshot-*"):
        if other != done:
            shutil.rmtree(other, ignore_errors=True)


def latest(folder: Path) -> int:
    """The last row of the newest snapshot; 0 when there is none."""
    return max((int(path.name.partition("-")[2]) for path in folder.glob("snapshot-*")), default=0)


def load(folder: Path, located: truth.Located, connection: sqlite3.Connection) -> Restored | None:
    """The newest snapshot; None when there is none that can be believed."""
    if not (last := latest(folder)):
        return None
    place, spec = folder / f"snapshot-{last}", located.spec
    try:
        description = msgspec.json.decode((place / "description.json").read_bytes(), type=_Description)
        if not _fits(description, place, located):
            return None
        points = description.points
        rows = np.fromfile(place / "rows.i64", np.int64)
        spaces = np.fromfile(place / "spaces.i32", np.int32)
        vectors: Any = np.memmap(place / "vectors.f32", np.float32, "c", shape=(description.room, spec.dimension))
        vectors = np.asarray(vectors)
    except (OSError, ValueError, msgspec.DecodeError):  # another process has just replaced it, or it is damaged
        return None
    if len(rows) != points or not _is_true(connection, spec, rows, vectors):
        return None
    graph = Graph(spec, is_unit=description.is_unit)
    if not graph.load(place / "graph.usearch", length=points):
        return None
    resident = Resident(located.number, spec)
    resident.restore(rows, vectors, spaces, description.spaces, points)
    return Restored(resident, graph)


def discard(folder: Path) -> None:
    """Deletes everything that was derived."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def turn(folder: Path) -> Iterator[bool]:
    """Whether this process may derive and save; one has the turn at a time, and a dead one gives it back."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "turn", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _fits(description: _Description, place: Path, located: truth.Located) -> bool:
    spec, sizes = located.spec, description.sizes
    told = (description.format, description.number, description.dimension, description.metric)
    wanted: Mapping[str, int] = {
        "vectors.f32": description.room * spec.dimension * 4,
        "rows.i64": description.points * 8,
        "spaces.i32": description.points * 4,
    }
    return (
        told == (FORMAT, located.number, spec.dimension, spec.metric)
        and all(sizes.get(name) == size for name, size in wanted.items())
        and all((place / name).stat().st_size == size for name, size in sizes.items())
    )


def _is_true(connection: sqlite3.Connection, spec: CollectionSpec, rows: Any, vectors: Floats) -> bool:
    """Whether some of the vectors are those of the truth."""
    some = np.unique(np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64))
    there = truth.vectors(connection, [int(row) for row in rows[some]])
    for at in some:
        if (stored := there.get(int(rows[at]))) is not None:
            wanted = np.frombuffer(stored, np.float32)
            if spec.metric == "cosine":
                wanted = wanted / np.linalg.norm(wanted.astype(np.float64))
            if not np.allclose(vectors[at], wanted, atol=1e-6):
                return False
    return bool(np.all(rows[1:] > rows[:-1]))


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
