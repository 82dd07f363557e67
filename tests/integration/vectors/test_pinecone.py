"""Pinecone where it goes wrong, and where it is late: what the claims of every store do not reach."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.support.pinecone_server import API_KEY, Pinecone, running_pinecone
from undercroft.errors import Unavailable
from undercroft.vectors.errors import CollectionNotFound, InvalidCollection, InvalidPoint, PartlyStored
from undercroft.vectors.filters import Eq
from undercroft.vectors.stores import pinecone_records
from undercroft.vectors.stores.pinecone import PineconeStore
from undercroft.vectors.types import CollectionSpec, Point, Query, vector_of

SPEC = CollectionSpec(name="guides", dimension=2)
POINTS = [Point(id=f"p{place}", vector=vector_of([1, place]), metadata={"even": place % 2 == 0}) for place in range(10)]


@pytest.fixture
def service() -> Iterator[Pinecone]:
    with running_pinecone() as running:
        yield running


def with_store(service: Pinecone, work: Callable[[PineconeStore], Awaitable[None]], *, api_key: str = API_KEY) -> None:
    async def run() -> None:
        store = PineconeStore(api_key, host=service.url)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(run())


def test_a_collection_is_made_when_it_can_be_read(service: Pinecone) -> None:
    service.lag_s = 0.3

    async def work(store: PineconeStore) -> None:
        await store.create(SPEC)
        assert await store.describe("guides") == SPEC
        await store.upsert("guides", POINTS)
        for _ in range(100):
            if await store.count("guides") == len(POINTS):
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("what was written never showed")

    with_store(service, work)


def test_what_cannot_be_seen_yet_is_deleted_all_the_same(service: Pinecone) -> None:
    async def work(store: PineconeStore) -> None:
        await store.create(SPEC)
        service.lag_s = 0.3
        await store.upsert("guides", POINTS)
        await store.delete("guides", ["p1"])
        await store.delete_where("guides", Eq("even", value=True))
        await asyncio.sleep(0.4)
        left = await store.get("guides", [point.id for point in POINTS])
        assert [point.id for point in left] == ["p3", "p5", "p7", "p9"]

    with_store(service, work)


def test_a_batch_that_breaks_off_says_how_much_is_stored(service: Pinecone) -> None:
    many = [Point(id=f"p{place}", vector=vector_of([1, place])) for place in range(2500)]

    async def work(store: PineconeStore) -> None:
        await store.create(SPEC)
        service.refuses_upserts_after = 2
        with pytest.raises(PartlyStored, match="its first 2000 of 2500 points"):
            await store.upsert("guides", many)
        assert await store.count("guides") == 2000
        with pytest.raises(Unavailable, match="storage limit"):
            await store.upsert("guides", many)

    with_store(service, work)


def test_more_hits_than_one_answer_holds_come_back_whole(service: Pinecone) -> None:
    text = "word " * 5000
    many = [Point(id=f"p{place:03}", vector=vector_of([1, place]), text=text) for place in range(200)]

    async def work(store: PineconeStore) -> None:
        await store.create(SPEC)
        await store.upsert("guides", many)
        hits = await store.search("guides", Query(vector=vector_of([1, 0]), limit=150, with_vectors=True))
        assert [hit.id for hit in hits] == [point.id for point in many[:150]]
        assert all(hit.text == text and hit.vector is not None for hit in hits)
        assert len((await store.scroll("guides", limit=180)).points) == 180

    with_store(service, work)


def test_a_point_larger_than_pinecone_keeps_is_refused_before_anything_is_sent(service: Pinecone) -> None:
    tags = tuple(f"tag {place:04}" for place in range(1000))
    large = Point(id="large", vector=vector_of([1, 0]), metadata={"tags": tags}, text="x" * 20_000)

    async def work(store: PineconeStore) -> None:
        await store.create(SPEC)
        with pytest.raises(InvalidPoint, match=r"points\[1\]: its text and metadata take \d+ bytes") as caught:
            await store.upsert("guides", [POINTS[0], large])
        assert caught.value.position == 1
        assert await store.count("guides") == 0

    with_store(service, work)


def test_a_name_that_pinecone_does_not_take_is_refused(service: Pinecone) -> None:
    async def work(store: PineconeStore) -> None:
        for name in ("Guides", "gui_des", "x" * 40):
            with pytest.raises(InvalidCollection, match="of a-z, 0-9 and -"):
                await store.create(CollectionSpec(name=name, dimension=2))
            with pytest.raises(CollectionNotFound):
                await store.describe(name)

    with_store(service, work)


def test_an_index_that_was_not_made_here_is_left_alone(service: Pinecone) -> None:
    async def work(store: PineconeStore) -> None:
        await store.create(SPEC)
        service.indexes["undercroft-guides"].spaces.pop(pinecone_records.SPEC_SPACE)
        assert not await store.collections()
        assert not await store.drop("guides")
        assert "undercroft-guides" in service.indexes

    with_store(service, work)


def test_a_wrong_key_is_said_to_be_one(service: Pinecone) -> None:
    async def work(store: PineconeStore) -> None:
        with pytest.raises(Unavailable, match="pinecone_api_key"):
            await store.collections()

    with_store(service, work, api_key="wrong")


def test_ids_and_namespaces_are_told_apart_and_found_again() -> None:
    ids = ["a", "a b", "a%20b", "ü", "x" * 256, "%sha256:1"]
    assert len({pinecone_records.key_of(one) for one in ids}) == len(ids)
    assert all(pinecone_records.key_of(one).isascii() for one in ids)
    assert len(pinecone_records.key_of("ü" * 256)) < 512
    spaces = ["", "one", "x.y", "__default__", "Größe", "undercroft.spec", "a b"]
    written = [pinecone_records.space_of(name) for name in spaces]
    assert [pinecone_records.namespace_of(name) for name in written] == spaces
    assert pinecone_records.SPEC_SPACE not in written
