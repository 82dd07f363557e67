"""The suite against Pinecone's official client and a stand-in for the service: no package brings a real one."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.pinecone_server import API_KEY, Pinecone, running_pinecone
from undercroft.testing.providers import name_of
from undercroft.testing.vectors import Claim, Subject, vector_claims
from undercroft.vectors.stores.pinecone import PineconeStore

NUMBERS = count()


@pytest.fixture(scope="module")
def service() -> Iterator[Pinecone]:
    with running_pinecone() as running:
        yield running


@pytest.mark.parametrize("claim", vector_claims(PineconeStore.abilities), ids=name_of)
def test_the_pinecone_store(claim: Claim, service: Pinecone) -> None:
    async def check() -> None:
        store = PineconeStore(API_KEY, host=service.url)
        try:
            await claim(Subject(store=store, numbers=NUMBERS))
        finally:
            await store.close()

    asyncio.run(check())
