"""The cache of answers: picks the store, and makes the gateway's stage of it."""

import os
from collections.abc import Callable, Sequence
from typing import Final

from pydantic import SecretStr

from undercroft.assembly.database import DatabaseLink
from undercroft.cache.entry import Entry
from undercroft.cache.key import Keys
from undercroft.cache.similar import Similar, Vector
from undercroft.cache.store import CacheStore
from undercroft.cache.stores.memory import MemoryCache
from undercroft.clock import Clock
from undercroft.errors import ConfigurationError, NotFound
from undercroft.gateway.stages.cache import Cache
from undercroft.gateway.stages.meter import Rates
from undercroft.llm.provider import EmbeddingProvider
from undercroft.llm.types import EmbeddingsRequest
from undercroft.settings.model import Settings

_EMBEDDER: Final = "local-embedding"


class Answers:
    """What was answered, for as long as the process lasts; each configuration's gateway has its own stage over it."""

    def __init__(self, settings: Settings, *, link: DatabaseLink, embedder: object | None, clock: Clock) -> None:
        """`embedder` is the bundled one. Raises ConfigurationError where it is needed and not installed."""
        self._settings = settings.cache
        self._clock = clock
        self.store = _store(settings, link=link, clock=clock)
        self._keys = Keys(os.urandom(32) if isinstance(self.store, MemoryCache) else _secret(settings))
        self._similar = _similar(settings, embedder, clock=clock) if settings.cache.semantic else None

    def stage(self, rates: Rates) -> Cache | None:
        """The gateway's stage; None where nothing is ever cached."""
        settings = self._settings
        if settings.mode == "off":
            return None
        return Cache(
            self.store,
            keys=self._keys,
            rates=rates,
            ttl_us=round(settings.ttl_s * 1_000_000),
            max_entry_bytes=settings.max_entry_bytes,
            clock=self._clock,
            similar=self._similar,
        )

    async def find(self, organisation: str, id: str) -> Entry:
        """Raises NotFound, and Unavailable while the store is away."""
        entry = await self.store.get(organisation, id)
        if entry is None:
            raise _unknown(id)
        return entry

    async def remove(self, organisation: str, id: str) -> None:
        """In force at once, in every process that shares the store. Raises NotFound and Unavailable."""
        if not await self.store.remove(organisation, id):
            raise _unknown(id)

    async def close(self) -> None:
        await self.store.close()


def _unknown(id: str) -> NotFound:
    return NotFound(
        f"There is no cached answer '{id}'.", hint="Ids stand in the header x-undercroft-cache-id of answers."
    )


def _store(settings: Settings, *, link: DatabaseLink, clock: Clock) -> CacheStore:
    cache = settings.cache
    match settings.cache_store:
        case "redis":
            from undercroft.cache.stores.redis import RedisCache

            assert settings.redis.url is not None, "the rules have seen to it"
            return RedisCache(settings.redis.url.get_secret_value(), clock=clock)
        case "database":

            def opened() -> CacheStore:
                # Imported here, with SQLAlchemy, once the port has long been answering.
                from undercroft.cache.stores.sql import SqlCache

                return SqlCache(link, max_entries=cache.max_entries, max_bytes=cache.max_bytes, clock=clock)

            return Opening(opened)
        case _:
            return MemoryCache(max_entries=cache.max_entries, max_bytes=cache.max_bytes, clock=clock)


class Opening:
    """A CacheStore that is made when it is first used."""

    def __init__(self, make: Callable[[], CacheStore]) -> None:
        self._make = make
        self._made: CacheStore | None = None

    def _store(self) -> CacheStore:
        if self._made is None:
            self._made = self._make()
        return self._made

    async def get(self, organisation: str, id: str, /) -> Entry | None:
        return await self._store().get(organisation, id)

    async def put(self, organisation: str, id: str, entry: Entry, /) -> None:
        await self._store().put(organisation, id, entry)

    async def remove(self, organisation: str, id: str, /) -> bool:
        return await self._store().remove(organisation, id)

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()


def _secret(settings: Settings) -> bytes:
    """The same in all processes that share a store, since they share the configuration."""
    secret: SecretStr | None = settings.encryption_key or settings.access.master_key
    return b"" if secret is None else secret.get_secret_value().encode()


def _similar(settings: Settings, embedder: object | None, *, clock: Clock) -> Similar:
    if not isinstance(embedder, EmbeddingProvider):
        raise ConfigurationError(
            "[cache] semantic needs the bundled embedding model, and it is not installed.",
            hint="Type: undercroft models pull",
        )
    model = embedder

    async def embed(texts: Sequence[str]) -> Sequence[Vector]:
        reply = await model.embed(EmbeddingsRequest(model=_EMBEDDER, inputs=tuple(texts)))
        return (await reply.read()).vectors

    cache = settings.cache
    return Similar(embed, threshold=cache.semantic_threshold, max_questions=cache.semantic_questions, clock=clock)
