"""The suite against Weaviate's official client and a stand-in for its server: no package brings a real one."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.weaviate_server import API_KEY, Weaviate, running_weaviate
from undercroft.testing.providers import name_of
from undercroft.testing.vectors import Claim, Subject, vector_claims
from undercroft.vectors.stores.weaviate import WeaviateStore

NUMBERS = count()


@pytest.fixture(scope="module")
def server() -> Iterator[Weaviate]:
    with running_weaviate() as running:
        yield running


@pytest.mark.parametrize("claim", vector_claims(WeaviateStore.abilities), ids=name_of)
def test_the_weaviate_store(claim: Claim, server: Weaviate) -> None:
    async def check() -> None:
        store = WeaviateStore(server.url, api_key=API_KEY, grpc_port=server.grpc_port)
        try:
            await claim(Subject(store=store, numbers=NUMBERS))
        finally:
            await store.close()

    asyncio.run(check())
