"""Answers in Redis, for all processes that reach it. Redis itself bounds them (`maxmemory`, `maxmemory-policy`)."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from undercroft.cache.entry import Entry, decode, encode
from undercroft.clock import Clock
from undercroft.errors import MissingExtra, Unavailable

T = TypeVar("T")

TIMEOUT_S: Final = 0.25
"""A cache that is slower than this is no help."""
REST_S: Final = 1.0
"""How long a Redis that failed is not asked again: a call must not wait for it again and again."""


class RedisCache:
    """A CacheStore under `undercroft:cache:ORGANISATION:ID`. Made and closed inside the running loop."""

    def __init__(self, url: str, *, clock: Clock) -> None:
        """Raises MissingExtra."""
        try:
            from redis.asyncio import Redis
        except ImportError as error:
            raise MissingExtra("The cache in Redis", extra="redis") from error
        self._redis: Redis = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        self._clock = clock
        self._rests_until = 0.0

    async def get(self, organisation: str, id: str, /) -> Entry | None:
        data = await self._ask(lambda: self._redis.get(_name(organisation, id)))
        if not isinstance(data, bytes):
            return None
        try:
            entry = decode(data)
        except msgspec.DecodeError:
            return None  # another version's; it is written anew
        return entry if entry.expires_us > self._clock.now_us() else None

    async def put(self, organisation: str, id: str, entry: Entry, /) -> None:
        left_ms = (entry.expires_us - self._clock.now_us()) // 1000
        if left_ms > 0:
            data = encode(entry)
            await self._ask(lambda: self._redis.set(_name(organisation, id), data, px=left_ms))

    async def remove(self, organisation: str, id: str, /) -> bool:
        return bool(await self._ask(lambda: self._redis.delete(_name(organisation, id))))

    async def close(self) -> None:
        await self._redis.aclose()

    async def _ask(self, command: Callable[[], Awaitable[T]]) -> T:
        from redis.exceptions import RedisError

        if self._clock.monotonic() < self._rests_until:
            raise _away("it failed a moment ago")
        try:
            return await command()
        except (RedisError, OSError) as error:
            self._rests_until = self._clock.monotonic() + REST_S
            raise _away(f"{type(error).__name__}: {error}") from error


def _name(organisation: str, id: str) -> str:
    return f"undercroft:cache:{organisation}:{id}"


def _away(why: str) -> Unavailable:
    return Unavailable(f"The cache in Redis is away: {why}.", code="cache_unavailable", retry_after_s=REST_S)
