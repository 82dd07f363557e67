"""How much memory answers take."""

import asyncio

from tests.support.clock import ManualClock
from undercroft.cache.entry import size_of
from undercroft.cache.stores.memory import MemoryCache
from undercroft.testing.caches import Subject


def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    async def story() -> None:
        clock = ManualClock()
        store = MemoryCache(max_entries=2, max_bytes=10**6, clock=clock)
        subject = Subject(store=store, clock=clock)
        for name in ("a", "b"):
            await store.put("default", name, subject.entry())
        assert await store.get("default", "a") is not None
        await store.put("default", "c", subject.entry())
        assert await store.get("default", "b") is None
        assert len(store) == 2

    asyncio.run(story())


def test_the_bytes_are_bounded_and_what_is_larger_than_all_of_them_is_not_kept() -> None:
    async def story() -> None:
        clock = ManualClock()
        subject = Subject(store=MemoryCache(max_entries=1, max_bytes=1, clock=clock), clock=clock)
        size = size_of(subject.entry().chunks[0])
        store = MemoryCache(max_entries=100, max_bytes=3 * size, clock=clock)
        for number in range(10):
            await store.put("default", f"cache_{number}", subject.entry())
        assert (len(store), store.size_bytes) == (3, 3 * size)
        await store.put("default", "cache_9", subject.entry("x" * 10 * size))
        assert await store.get("default", "cache_9") is None
        await store.close()
        assert (len(store), store.size_bytes) == (0, 0)

    asyncio.run(story())


def test_an_answer_is_gone_when_its_time_is_up() -> None:
    async def story() -> None:
        clock = ManualClock()
        store = MemoryCache(max_entries=2, max_bytes=10**6, clock=clock)
        await store.put("default", "a", Subject(store=store, clock=clock).entry(lasts_us=1_000_000))
        clock.advance(0.5)
        assert await store.get("default", "a") is not None
        clock.advance(0.5)
        assert await store.get("default", "a") is None
        assert len(store) == 0

    asyncio.run(story())
