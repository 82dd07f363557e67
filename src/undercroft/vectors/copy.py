"""Moving a collection from one store to another: streamed, resumed where it broke off, verified at the end.

What is copied is what the source holds while it is read. Writes to it meanwhile are the caller's to stop or to repeat;
the verification says what differs.
"""

import hashlib
import math
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from undercroft.errors import Conflict
from undercroft.vectors.errors import CollectionConflict
from undercroft.vectors.store import VectorStore
from undercroft.vectors.types import CollectionSpec, Point, Query, Vector

BATCH: Final = 500
SAMPLE: Final = 50
"""Queries that are asked of both."""
COMPARED: Final = 10
"""Hits of each."""
NEAR: Final = 1e-3
"""How far a number of a vector of length 1 may be off: stores may keep two bytes."""
AGREEMENT: Final = 0.95
"""Share of the sample's hits that both must have in common: two approximate indexes differ a little."""

Advance = Callable[[int], None]


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far a copy has come. All before `after` is acknowledged by the target."""

    source: str
    target: str
    collection: str
    into: str
    done: tuple[str, ...] = ()
    """Namespaces that are copied whole."""
    namespace: str | None = None
    after: str | None = None
    copied: int = 0


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two collections, read whole."""

    points: int
    checksum: str
    """Of ids, metadata and texts, in no order. Vectors are compared number by number instead."""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison of source and target found."""

    source: Side
    target: Side
    missing: tuple[str, ...]
    """Ids that the target lacks; the first few."""
    different: tuple[str, ...]
    """Ids whose vector, metadata or text is another; the first few."""
    worst_difference: float
    """Largest difference of any number of a vector, relative to the vector's length."""
    queries: int
    agreement: float
    """Share of hits that a sample of queries has in common."""

    @property
    def is_good(self) -> bool:
        return (
            self.source == self.target
            and not self.missing
            and not self.different
            and (self.agreement >= AGREEMENT or not self.queries)
        )


class CheckpointFile:
    """Where a copy's progress is kept, so that it goes on after an interruption."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, beginning: Checkpoint) -> Checkpoint:
        """What was reached; the beginning, when nothing was. Raises Conflict for another copy's file."""
        if not self._path.exists():
            return beginning
        try:
            reached = msgspec.json.decode(self._path.read_bytes(), type=Checkpoint)
        except msgspec.DecodeError as error:
            raise Conflict(
                f"{self._path} is no record of a copy.", hint="Remove it, or name another with --checkpoint."
            ) from error
        for name in ("source", "target", "collection", "into"):
            if getattr(reached, name) != getattr(beginning, name):
                raise Conflict(
                    f"{self._path} is of another copy: its {name} is {getattr(reached, name)!r}.",
                    hint="Name another file with --checkpoint.",
                )
        return reached

    def write(self, reached: Checkpoint) -> None:
        """Replaces the file in one step: an interruption leaves the former one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f"{self._path.name}.new")
        fresh.write_bytes(msgspec.json.encode(reached))
        fresh.replace(self._path)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


async def prepare(source: VectorStore, target: VectorStore, collection: str, into: str) -> CollectionSpec:
    """Makes the target collection like the source's; there already, it must be alike. Raises CollectionConflict."""
    spec = msgspec.structs.replace(await source.describe(collection), name=into)
    await target.create(spec)
    there = await target.describe(into)
    if (there.dimension, there.metric) != (spec.dimension, spec.metric):
        raise CollectionConflict(into, f"dimension {there.dimension} and metric {there.metric!r}")
    return there


async def copy(
    source: VectorStore,
    target: VectorStore,
    reached: Checkpoint,
    *,
    keep: Callable[[Checkpoint], None],
    advance: Advance,
) -> Checkpoint:
    """Copies what is left. `keep` is called after each page that the target acknowledged."""
    for namespace in sorted((await source.stats(reached.collection)).namespaces):
        if namespace in reached.done:
            continue
        if reached.namespace != namespace:
            reached = msgspec.structs.replace(reached, namespace=namespace, after=None)
        while True:
            page = await source.scroll(reached.collection, namespace=namespace, after=reached.after, limit=BATCH)
            if page.points:
                await target.upsert(reached.into, page.points, namespace=namespace)
            advance(len(page.points))
            reached = msgspec.structs.replace(reached, after=page.next, copied=reached.copied + len(page.points))
            if page.next is None:
                reached = msgspec.structs.replace(reached, done=(*reached.done, namespace), namespace=None)
                keep(reached)
                break
            keep(reached)
    return reached


async def verify(
    source: VectorStore,
    target: VectorStore,
    collection: str,
    into: str,
    *,
    advance: Advance,
    sample: int = SAMPLE,
    listed: int = 10,
) -> Verification:
    """Reads both, compares each of the source's points with the target's, and asks both the same questions."""
    spec = await source.describe(collection)
    namespaces = sorted({*(await source.stats(collection)).namespaces, *(await target.stats(into)).namespaces})
    ours, theirs = _Sum(), _Sum()
    missing: list[str] = []
    different: list[str] = []
    worst = 0.0
    asked: list[tuple[str, Point]] = []
    for namespace in namespaces:
        async for points in _pages(source, collection, namespace):
            there = {p.id: p for p in await target.get(into, [p.id for p in points], namespace=namespace)}
            ours.add(namespace, points)
            for point in points:
                if (other := there.get(point.id)) is None:
                    missing.append(point.id)
                    continue
                off = difference(point.vector, other.vector, is_direction=spec.metric == "cosine")
                worst = max(worst, off)
                if off > NEAR or _digest(namespace, point) != _digest(namespace, other):
                    different.append(point.id)
            asked = _sampled(asked, [(namespace, point) for point in points], sample)
            advance(len(points))
        async for points in _pages(target, into, namespace):
            theirs.add(namespace, points)
    return Verification(
        source=ours.side,
        target=theirs.side,
        missing=tuple(missing[:listed]),
        different=tuple(different[:listed]),
        worst_difference=worst,
        queries=len(asked),
        agreement=await _agreement(source, target, collection, into, asked),
    )


def difference(one: "Vector[float]", other: "Vector[float]", *, is_direction: bool) -> float:
    """The largest difference of two numbers in the same place, as a share of the vector's length; infinite where one
    has more numbers. As directions, both are taken at length 1."""
    if len(one) != len(other):
        return math.inf
    length, others = math.hypot(*one) or 1.0, math.hypot(*other) or 1.0
    if not is_direction:
        others = length
    return max((abs(a / length - b / others) for a, b in zip(one, other, strict=True)), default=0.0)


class _Sum:
    """A checksum that does not depend on the order: the sum of every point's own."""

    def __init__(self) -> None:
        self._points = 0
        self._sum = 0

    def add(self, namespace: str, points: Iterable[Point]) -> None:
        for point in points:
            self._points += 1
            self._sum = (self._sum + _digest(namespace, point)) % 2**128

    @property
    def side(self) -> Side:
        return Side(points=self._points, checksum=f"{self._sum:032x}")


def _digest(namespace: str, point: Point) -> int:
    # Numbers as floats: some stores make 2 of 2.0.
    metadata = {
        name: float(held) if isinstance(held, int | float) and not isinstance(held, bool) else held
        for name, held in sorted(point.metadata.items())
    }
    written = msgspec.json.encode((namespace, point.id, metadata, point.text))
    return int.from_bytes(hashlib.sha256(written).digest()[:16], "big")


def _sampled(
    asked: list[tuple[str, Point]], fresh: Sequence[tuple[str, Point]], sample: int
) -> list[tuple[str, Point]]:
    """The points whose ids' hashes are least: the same ones whichever way they come, spread over all."""
    both = sorted([*asked, *fresh], key=lambda pair: hashlib.sha256(pair[1].id.encode()).digest())
    return both[:sample]


async def _pages(store: VectorStore, collection: str, namespace: str) -> AsyncIterator[list[Point]]:
    after: str | None = None
    while True:
        page = await store.scroll(collection, namespace=namespace, after=after, limit=BATCH)
        yield page.points
        if (after := page.next) is None:
            return


async def _agreement(
    source: VectorStore, target: VectorStore, collection: str, into: str, asked: Sequence[tuple[str, Point]]
) -> float:
    queries = [Query(vector=point.vector, limit=COMPARED, namespace=namespace) for namespace, point in asked]
    ours = await source.search_many(collection, queries)
    theirs = await target.search_many(into, queries)
    shared = sum(
        len({hit.id for hit in one} & {hit.id for hit in other}) for one, other in zip(ours, theirs, strict=True)
    )
    wanted = sum(map(len, ours))
    return shared / wanted if wanted else 1.0
