"""Slices on both databases and in Redis, by the suite that is shipped for those who write another store."""

import asyncio
from collections.abc import Iterator
from functools import partial
from itertools import count

import pytest

from tests.support.databases import migrated
from tests.support.redis import RedisServer, running_redis
from undercroft.clock import SystemClock
from undercroft.ledger.slice_stores.redis import RedisSliceStore
from undercroft.ledger.slice_stores.sql import SqlSliceStore
from undercroft.ledger.slices import Window
from undercroft.storage.engine import Database
from undercroft.testing.providers import name_of
from undercroft.testing.slices import Claim, Subject, slice_claims

LEASE_S = 0.5
NUMBERS = count()


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One for all claims: each has windows of its own."""
    server = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None
    with migrated(server, tmp_path_factory.mktemp("slices"), pool_size=8) as database:
        yield database


@pytest.mark.parametrize("claim", slice_claims(), ids=name_of)
def test_the_slice_store(claim: Claim, database: Database) -> None:
    stores = [SqlSliceStore(database, clock=SystemClock(), lease_s=LEASE_S) for _ in range(2)]
    asyncio.run(claim(Subject(stores=stores, outlast=partial(asyncio.sleep, LEASE_S * 1.1), numbers=NUMBERS)))


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """One for all claims, likewise."""
    with running_redis() as server:
        yield server


@pytest.mark.parametrize("claim", slice_claims(), ids=name_of)
def test_the_slice_store_in_redis(claim: Claim, redis: RedisServer) -> None:
    async def nothing(window: Window) -> int:
        return 0

    async def proved() -> None:
        made = partial(RedisSliceStore, redis.url, clock=SystemClock(), before=nothing, lease_s=LEASE_S)
        stores = [made() for _ in range(2)]
        try:
            await claim(Subject(stores=stores, outlast=partial(asyncio.sleep, LEASE_S * 1.1), numbers=NUMBERS))
        finally:
            for store in stores:
                await store.close()

    asyncio.run(proved())
