"""Finds the index that is fastest at a wanted recall, and shows it on queries that were not used to find it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from undercroft.errors import InvalidRequest
from undercroft.vectors.bench import Bench, Course, Measured
from undercroft.vectors.data_sets import DataSet
from undercroft.vectors.store import VectorStore
from undercroft.vectors.types import IndexOptions

INDEXES: Final = (
    IndexOptions(connectivity=8, build_effort=64),
    IndexOptions(connectivity=16, build_effort=128),
    IndexOptions(connectivity=32, build_effort=256),
)
EFFORTS: Final = (16, 32, 64, 96, 128, 192, 256, 512, 1024)

MakeBench = Callable[[DataSet, Course], Bench]


class Tried(Struct, frozen=True, kw_only=True):
    """One index with the least effort that reached the recall."""

    index: IndexOptions
    build_s: float
    found: Measured | None
    """None: no effort reached it."""


class Tuned(Struct, frozen=True, kw_only=True):
    """What a collection is to be made with."""

    index: IndexOptions
    effort: int


class Outcome(Struct, frozen=True, kw_only=True):
    """What was tried and what came of it."""

    store: str
    data: str
    recall: float
    """That was wanted."""
    tried: tuple[Tried, ...]
    chosen: Tuned | None
    held_out: Measured | None
    """The chosen one on the other half of the queries."""

    @property
    def is_reached(self) -> bool:
        return self.held_out is not None and (self.held_out.recall or 0.0) >= self.recall


async def tune(
    store: VectorStore,
    collection: str,
    data: DataSet,
    *,
    recall: float,
    course: Course,
    bench: MakeBench,
    indexes: Sequence[IndexOptions] = INDEXES,
    efforts: Sequence[int] = EFFORTS,
) -> Outcome:
    """Builds each index once, in a collection of its own that is dropped again. Raises InvalidRequest."""
    if not 0 < recall <= 1:
        raise InvalidRequest(f"--recall is {recall:g}; it takes more than 0 and at most 1.")
    choosing, judging = data.halves()
    tried: list[Tried] = []
    best: tuple[Tried, Measured] | None = None
    held_out: Measured | None = None
    for place, index in enumerate(indexes):
        built = msgspec.structs.replace(course, index=index)
        choose, judge = bench(choosing, built), bench(judging, built)
        name = f"{collection}-{place}"
        try:
            build = await choose.build(store, name)
            found = await _least(choose, store, name, recall, efforts, course.limit)
            tried.append(Tried(index=index, build_s=build.ready_s, found=found))
            if found is not None and (best is None or found.qps > best[1].qps):
                best = (tried[-1], found)
                held_out = await judge.measure(store, name, effort=found.effort, share=1.0, clients=1)
        finally:
            await store.drop(name)
    chosen = None if best is None else Tuned(index=best[0].index, effort=best[1].effort or course.limit)
    return Outcome(
        store=store.name, data=data.name, recall=recall, tried=tuple(tried), chosen=chosen, held_out=held_out
    )


async def _least(
    bench: Bench, store: VectorStore, collection: str, recall: float, efforts: Sequence[int], limit: int
) -> Measured | None:
    for effort in efforts:
        if effort < limit:
            continue
        measured = await bench.measure(store, collection, effort=effort, share=1.0, clients=1)
        if (measured.recall or 0.0) >= recall:
            return measured
    return None


def write_tuned(tuned: Tuned, path: Path) -> None:
    """As TOML, for `undercroft vectors create --tuned`."""
    path.write_text(written(tuned), "utf-8")


def written(tuned: Tuned) -> str:
    return (
        f'effort = {tuned.effort}\n\n[index]\nkind = "{tuned.index.kind}"\n'
        f"connectivity = {tuned.index.connectivity}\nbuild_effort = {tuned.index.build_effort}\n"
        f"is_half = {str(tuned.index.is_half).lower()}\n"
    )


def read_tuned(path: Path) -> Tuned:
    """Raises InvalidRequest for a file that holds something else."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Tuned)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidRequest(f"{path} holds no index that was tuned: {error}.") from error
