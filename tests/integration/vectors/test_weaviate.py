"""Weaviate where it goes wrong: what the claims of every store do not reach."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.support.weaviate_server import API_KEY, Weaviate, running_weaviate
from undercroft.errors import Unavailable
from undercroft.vectors.errors import CollectionNotFound, InvalidQuery, PartlyStored
from undercroft.vectors.filters import Eq
from undercroft.vectors.stores.weaviate import WeaviateStore
from undercroft.vectors.stores.weaviate_schema import class_of, collection_of, namespace_of, tenant_of, uuid_of
from undercroft.vectors.types import CollectionSpec, Point, Query, vector_of

SPEC = CollectionSpec(name="guides", dimension=2)
POINTS = [Point(id=f"p{place}", vector=vector_of([1, place]), metadata={"even": place % 2 == 0}) for place in range(10)]


@pytest.fixture
def server() -> Iterator[Weaviate]:
    with running_weaviate() as running:
        yield running


def with_store(server: Weaviate, work: Callable[[WeaviateStore], Awaitable[None]], *, api_key: str = API_KEY) -> None:
    async def run() -> None:
        store = WeaviateStore(server.url, api_key=api_key, grpc_port=server.grpc_port, timeout_s=5)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(run())


def test_a_graph_that_loses_points_is_not_believed(server: Weaviate) -> None:
    async def work(store: WeaviateStore) -> None:
        await store.create(SPEC)
        await store.upsert("guides", POINTS)
        server.graph_hides = 3
        hits = await store.search("guides", Query(vector=vector_of([1, 0]), limit=5, where=Eq("even", value=True)))
        assert [hit.id for hit in hits] == ["p0", "p2", "p4", "p6", "p8"]

    with_store(server, work)


def test_a_batch_that_breaks_off_says_how_much_is_stored(server: Weaviate) -> None:
    async def work(store: WeaviateStore) -> None:
        await store.create(SPEC)
        refused = str(uuid_of("p4"))
        server.fails_objects = lambda uuid: uuid == refused
        with pytest.raises(PartlyStored, match="its first 4 of 10 points"):
            await store.upsert("guides", POINTS)
        server.fails_objects = lambda _uuid: True
        with pytest.raises(PartlyStored, match="its first 0 of 10 points"):
            await store.upsert("guides", POINTS)

    with_store(server, work)


def test_a_collection_that_another_process_dropped_is_not_found(server: Weaviate) -> None:
    async def work(store: WeaviateStore) -> None:
        await store.create(SPEC)
        await store.upsert("guides", POINTS)
        server.classes.clear()
        with pytest.raises(CollectionNotFound):
            await store.search("guides", Query(vector=vector_of([1, 0])))
        await store.create(SPEC)
        assert await store.count("guides") == 0

    with_store(server, work)


def test_a_class_that_was_not_made_here_is_left_alone(server: Weaviate) -> None:
    async def work(store: WeaviateStore) -> None:
        await store.create(SPEC)
        server.classes["Others"] = server.classes[class_of("guides")]
        assert [spec.name for spec in await store.collections()] == ["guides"]

    with_store(server, work)


def test_a_wrong_key_is_said_to_be_one(server: Weaviate) -> None:
    async def work(store: WeaviateStore) -> None:
        with pytest.raises(Unavailable, match="weaviate_api_key"):
            await store.collections()

    with_store(server, work, api_key="wrong")


def test_a_server_that_is_away_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def work() -> None:
        store = WeaviateStore(f"http://127.0.0.1:{port}")
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
            await store.collections()
        await store.close()

    asyncio.run(work())


def test_names_are_told_apart_and_found_again() -> None:
    names = ["a-b", "a_b", "a_d", "a__b", "A", "x-y_z--"]
    assert [collection_of(class_of(name)) for name in names] == names
    assert len({class_of(name) for name in names}) == len(names)
    assert collection_of("Article") is None
    spaces = ["", "one", "default", "Größe", "a b", "x-default", "n-one", "-", "_"]
    assert [namespace_of(tenant_of(name)) for name in spaces] == spaces
    with pytest.raises(InvalidQuery, match="too long"):
        tenant_of("ü" * 40)
