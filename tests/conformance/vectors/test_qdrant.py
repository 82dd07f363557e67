"""Qdrant by the suite that is shipped: its engine in this process, and its client against a stand-in for a server."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.qdrant_server import StandIn, running_stand_in
from undercroft.errors import Unavailable
from undercroft.testing.providers import name_of
from undercroft.testing.vectors import Claim, Subject, vector_claims
from undercroft.vectors.errors import CollectionNotFound, PartlyStored
from undercroft.vectors.stores.qdrant.store import QdrantStore
from undercroft.vectors.types import CollectionSpec, Point, Query, vector_of

NUMBERS = count()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantStore]:
    store = QdrantStore.in_process(tmp_path_factory.mktemp("qdrant"))
    yield store
    asyncio.run(store.close())


@pytest.mark.parametrize("claim", vector_claims(QdrantStore.abilities), ids=name_of)
def test_the_engine_in_this_process(claim: Claim, edge: QdrantStore) -> None:
    asyncio.run(claim(Subject(store=edge, numbers=NUMBERS)))


@pytest.fixture
def server() -> Iterator[tuple[StandIn, str]]:
    with running_stand_in() as running:
        yield running


@pytest.mark.parametrize("claim", vector_claims(QdrantStore.abilities), ids=name_of)
def test_the_client_over_http(claim: Claim, server: tuple[StandIn, str]) -> None:
    async def run() -> None:
        store = QdrantStore.connected(server[1])
        await claim(Subject(store=store, numbers=count()))
        await store.close()

    asyncio.run(run())


def test_a_batch_that_breaks_in_the_middle_says_how_much_is_stored(server: tuple[StandIn, str]) -> None:
    async def run() -> None:
        store = QdrantStore.connected(server[1])
        await store.create(CollectionSpec(name="many", dimension=2))
        server[0].fail_after = 2
        points = [Point(id=str(place), vector=vector_of([1, place])) for place in range(1200)]
        with pytest.raises(PartlyStored) as broken:
            await store.upsert("many", points)
        assert broken.value.stored == 1000
        assert await store.count("many") == 1000
        with pytest.raises(Unavailable, match="500"):
            await store.upsert("many", points[:10])
        await store.close()

    asyncio.run(run())


def test_a_server_that_is_away_or_refuses_the_key_is_unavailable(server: tuple[StandIn, str]) -> None:
    async def run() -> None:
        away = QdrantStore.connected("http://127.0.0.1:9")
        with pytest.raises(Unavailable, match="reached"):
            await away.count("many")
        server[0].api_key = "right"
        with pytest.warns(UserWarning, match="insecure"):  # the client's own word about http
            wrong = QdrantStore.connected(server[1], api_key="wrong")
        with pytest.raises(Unavailable, match="key"):
            await wrong.search("many", Query(vector=vector_of([1])))
        with pytest.warns(UserWarning, match="insecure"):
            right = QdrantStore.connected(server[1], api_key="right")
        with pytest.raises(CollectionNotFound):
            await right.count("many")
        for store in (away, wrong, right):
            await store.close()

    asyncio.run(run())
