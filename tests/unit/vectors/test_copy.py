"""A copy is whole, goes on where it broke off, and is only called good when it is."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from tests.support.memory_vectors import MemoryStore
from undercroft.errors import Conflict, Unavailable
from undercroft.testing.vector_data import made_points
from undercroft.vectors.copy import BATCH, Checkpoint, CheckpointFile, Verification, copy, difference, prepare, verify
from undercroft.vectors.errors import CollectionConflict, CollectionNotFound
from undercroft.vectors.types import CollectionSpec, Hit, Page, Point, Query, vector_of

BEGINNING = Checkpoint(source="one", target="other", collection="guides", into="guides")
POINTS = made_points(random.Random(1), 2 * BATCH + 7)


class Breaking(MemoryStore):
    """Breaks down at the given writes, before or after it has stored what it was sent."""

    def __init__(self, *, at: Sequence[int], has_stored: bool) -> None:
        super().__init__()
        self._at = set(at)
        self._has_stored = has_stored
        self.writes = 0

    async def upsert(self, collection: str, points: Sequence[Point], *, namespace: str = "") -> None:
        self.writes += 1
        breaks = self.writes in self._at
        if self._has_stored or not breaks:
            await super().upsert(collection, points, namespace=namespace)
        if breaks:
            raise Unavailable("the target is away")


async def filled() -> MemoryStore:
    source = MemoryStore()
    await source.create(CollectionSpec(name="guides", dimension=8))
    for start in range(0, len(POINTS), 1000):
        await source.upsert("guides", POINTS[start : start + 1000])
    await source.upsert("guides", POINTS[:30], namespace="other")
    return source


async def checked(source: MemoryStore, target: MemoryStore) -> Verification:
    return await verify(source, target, "guides", "guides", advance=lambda _: None)


def test_a_copy_holds_every_point_of_every_namespace() -> None:
    async def run() -> None:
        source, target = await filled(), MemoryStore()
        await prepare(source, target, "guides", "guides")
        steps: list[int] = []
        reached = await copy(source, target, BEGINNING, keep=lambda _: None, advance=steps.append)
        assert reached.copied == sum(steps) == len(POINTS) + 30
        found = await checked(source, target)
        assert found.is_good
        assert found.source.points == len(POINTS) + 30
        assert found.agreement == 1.0
        assert found.queries == 50

    asyncio.run(run())


@pytest.mark.parametrize("has_stored", [False, True])
def test_a_copy_that_broke_off_goes_on_where_it_was(has_stored: bool, tmp_path: Path) -> None:
    async def run() -> None:
        source, target = await filled(), Breaking(at=(2, 3, 5), has_stored=has_stored)
        await prepare(source, target, "guides", "guides")
        file = CheckpointFile(tmp_path / "copies" / "one.json")
        for _ in range(3):
            with pytest.raises(Unavailable):
                await copy(source, target, file.read(BEGINNING), keep=file.write, advance=lambda _: None)
        assert file.read(BEGINNING).copied == 2 * BATCH
        await copy(source, target, file.read(BEGINNING), keep=file.write, advance=lambda _: None)
        assert (await checked(source, target)).is_good
        assert target.writes == 5 + 2, "what was acknowledged was copied again"

    asyncio.run(run())


def test_a_copy_that_is_done_copies_nothing_again() -> None:
    async def run() -> None:
        source, target = await filled(), Breaking(at=(), has_stored=True)
        await prepare(source, target, "guides", "guides")
        reached = await copy(source, target, BEGINNING, keep=lambda _: None, advance=lambda _: None)
        writes = target.writes
        await copy(source, target, reached, keep=lambda _: None, advance=lambda _: None)
        assert target.writes == writes

    asyncio.run(run())


def test_what_differs_is_found() -> None:
    async def run() -> None:
        source, target = await filled(), MemoryStore()
        await prepare(source, target, "guides", "guides")
        await copy(source, target, BEGINNING, keep=lambda _: None, advance=lambda _: None)
        (first,) = await target.get("guides", [POINTS[0].id])
        await target.delete("guides", [POINTS[1].id])
        assert (await checked(source, target)).missing == (POINTS[1].id,)
        await target.upsert("guides", [POINTS[1], msgspec.structs.replace(first, text="Another.")])
        assert (await checked(source, target)).different == (POINTS[0].id,)
        turned = vector_of([-number for number in first.vector])
        await target.upsert("guides", [msgspec.structs.replace(first, vector=turned)])
        found = await checked(source, target)
        assert found.different == (POINTS[0].id,)
        assert found.source.checksum == found.target.checksum, "the vector alone was changed"
        assert not found.is_good
        await target.upsert("guides", [first, Point(id="more", vector=first.vector)])
        found = await checked(source, target)
        assert (found.missing, found.different) == ((), ())
        assert found.target.points == found.source.points + 1
        assert not found.is_good

    asyncio.run(run())


def test_an_index_that_answers_otherwise_is_not_called_good() -> None:
    class Astray(MemoryStore):
        async def search_many(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
            return [[] for _ in queries]

    async def run() -> None:
        source, target = await filled(), Astray()
        await prepare(source, target, "guides", "guides")
        await copy(source, target, BEGINNING, keep=lambda _: None, advance=lambda _: None)
        found = await checked(source, target)
        assert found.source == found.target
        assert found.agreement == 0.0
        assert not found.is_good

    asyncio.run(run())


def test_a_collection_of_another_kind_is_not_written_to() -> None:
    async def run() -> None:
        source, target = await filled(), MemoryStore()
        await target.create(CollectionSpec(name="guides", dimension=3))
        with pytest.raises(CollectionConflict):
            await prepare(source, target, "guides", "guides")
        with pytest.raises(CollectionNotFound):
            await prepare(source, target, "nothing", "nothing")

    asyncio.run(run())


def test_the_record_of_another_copy_is_not_gone_on_with(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "one.json")
    file.write(msgspec.structs.replace(BEGINNING, target="third"))
    with pytest.raises(Conflict, match="its target is 'third'"):
        file.read(BEGINNING)
    (tmp_path / "one.json").write_text("{")
    with pytest.raises(Conflict, match="no record of a copy"):
        file.read(BEGINNING)
    file.remove()
    assert file.read(BEGINNING) == BEGINNING


def test_directions_are_compared_whatever_their_length() -> None:
    one, twice = vector_of([3, 4]), vector_of([6, 8])
    assert difference(one, twice, is_direction=True) < 1e-6
    assert difference(one, twice, is_direction=False) > 0.5
    assert difference(one, vector_of([3]), is_direction=True) == float("inf")


def test_a_page_without_points_is_not_the_end() -> None:
    class Sparse(MemoryStore):
        """Pages that a filter of the store's own has emptied."""

        async def scroll(self, *arguments: object, **named: object) -> Page:
            page: Page = await MemoryStore.scroll(self, *arguments, **named)  # type: ignore[arg-type]
            if named.get("after") is None and page.next is not None:
                return Page(points=[], next="")
            return page

    async def run() -> None:
        source, target = Sparse(), MemoryStore()
        await source.create(CollectionSpec(name="guides", dimension=8))
        await source.upsert("guides", POINTS[:600])
        await prepare(source, target, "guides", "guides")
        await copy(source, target, BEGINNING, keep=lambda _: None, advance=lambda _: None)
        assert await target.count("guides") == 600

    asyncio.run(run())
