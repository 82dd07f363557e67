"""Cached answers in memory, both databases and Redis, by the suite that is shipped to who writes another store."""

import asyncio
from pathlib import Path

import pytest

from undercroft.cache.store import CacheStore
from undercroft.cache.stores.memory import MemoryCache
from undercroft.cache.stores.redis import RedisCache
from undercroft.cache.stores.sql import SqlCache
from undercroft.clock import SystemClock
from undercroft.errors import Unavailable
from undercroft.storage.engine import open_database
from undercroft.testing.caches import Claim, Subject, cache_claims
from undercroft.testing.providers import name_of

CLOCK = SystemClock()


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql", "redis"])
@pytest.mark.parametrize("claim", cache_claims(), ids=name_of)
def test_the_store(claim: Claim, kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    async def proved(store: CacheStore) -> None:
        try:
            await claim(Subject(store=store, clock=CLOCK))
        finally:
            await store.close()

    async def in_redis(url: str) -> None:
        await proved(RedisCache(url, clock=CLOCK))

    if kind == "memory":
        asyncio.run(proved(MemoryCache(max_entries=10, max_bytes=10_000, clock=CLOCK)))
    elif kind == "redis":
        asyncio.run(in_redis(request.getfixturevalue("redis_url")))
    else:
        url = request.getfixturevalue("postgres_url") if kind == "postgresql" else None
        database = open_database(url, data_dir=tmp_path, pool_size=2, clock=CLOCK)
        try:
            database.migrate()
            asyncio.run(proved(SqlCache(database, max_entries=10, max_bytes=10_000, clock=CLOCK)))
        finally:
            database.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize(("most", "room"), [(10, 10**9), (10**9, 3000)], ids=["entries", "bytes"])
def test_a_full_database_drops_the_oldest(
    most: int, room: int, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else None
    database = open_database(url, data_dir=tmp_path, pool_size=2, clock=CLOCK)

    async def story() -> None:
        store = SqlCache(database, max_entries=most, max_bytes=room, clock=CLOCK)
        subject = Subject(store=store, clock=CLOCK)
        for number in range(131):  # the second look comes with the 66th, the third with the 131st
            await store.put("default", f"cache_{number}", subject.entry("x" * 100))
        assert await store.get("default", "cache_0") is None
        assert await store.get("default", "cache_130") is not None

    try:
        database.migrate()
        asyncio.run(story())
    finally:
        database.close()


def test_a_redis_that_is_away_is_unavailable_and_is_not_asked_again_at_once() -> None:
    async def story() -> None:
        store = RedisCache("redis://127.0.0.1:1/0", clock=CLOCK)
        try:
            with pytest.raises(Unavailable, match="away"):
                await store.get("default", "cache_1")
            with pytest.raises(Unavailable, match="a moment ago"):
                await store.remove("default", "cache_1")
        finally:
            await store.close()

    asyncio.run(story())
