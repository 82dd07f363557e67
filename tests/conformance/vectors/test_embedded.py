"""The embedded store by the suite that is shipped for those who write another."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from undercroft.clock import SystemClock
from undercroft.testing.providers import name_of
from undercroft.testing.vectors import Claim, Subject, vector_claims
from undercroft.vectors.stores.embedded.store import EmbeddedStore

NUMBERS = count()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(tmp_path_factory.mktemp("embedded"), clock=SystemClock())
    yield store
    asyncio.run(store.close())


@pytest.mark.parametrize("claim", vector_claims(EmbeddedStore.abilities), ids=name_of)
def test_the_embedded_store(claim: Claim, store: EmbeddedStore) -> None:
    asyncio.run(claim(Subject(store=store, numbers=NUMBERS)))


@pytest.mark.parametrize("claim", vector_claims(EmbeddedStore.abilities), ids=name_of)
def test_the_store_of_another_process(claim: Claim, tmp_path: Path) -> None:
    """What one has open sees what is written through the other."""

    async def run() -> None:
        stores = [EmbeddedStore(tmp_path, clock=SystemClock()) for _ in range(2)]
        await claim(Subject(store=_Alternating(stores), numbers=count()))
        for store in stores:
            await store.close()

    asyncio.run(run())


class _Alternating(EmbeddedStore):
    """Every call goes to the other of two stores than the one before."""

    def __init__(self, stores: list[EmbeddedStore]) -> None:
        self._stores = stores
        self._calls = count()

    def __getattribute__(self, name: str) -> object:
        if name.startswith("_") or name in ("abilities", "name"):
            return object.__getattribute__(self, name)
        stores = object.__getattribute__(self, "_stores")
        return getattr(stores[next(object.__getattribute__(self, "_calls")) % 2], name)
