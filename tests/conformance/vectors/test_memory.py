"""The suite against the plainest store there is: what the claims say can be had."""

import asyncio
from itertools import count

import pytest

from tests.support.memory_vectors import MemoryStore
from undercroft.testing.providers import name_of
from undercroft.testing.vectors import Claim, Subject, vector_claims


@pytest.mark.parametrize("claim", vector_claims(MemoryStore.abilities), ids=name_of)
def test_the_memory_store(claim: Claim) -> None:
    asyncio.run(claim(Subject(store=MemoryStore(), numbers=count())))
