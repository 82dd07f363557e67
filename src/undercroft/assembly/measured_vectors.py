"""A vector store whose searches are timed, and now and then compared with an exact one."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

import msgspec

from undercroft.assembly.vector_metrics import PROBE_EVERY, VectorMetrics
from undercroft.clock import Clock
from undercroft.errors import UndercroftError
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.metrics import US_PER_S
from undercroft.telemetry.spans import Attribute
from undercroft.vectors.filters import Filter
from undercroft.vectors.store import TextSearch, VectorStore
from undercroft.vectors.types import CollectionSpec, Hit, Page, Point, Query, Stats, TextQuery


def measured(store: VectorStore, metrics: VectorMetrics, *, clock: Clock) -> VectorStore:
    """The same store, with its searches in the metrics."""
    if isinstance(store, TextSearch):
        return MeasuredTextStore(store, metrics, clock=clock)
    return MeasuredStore(store, metrics, clock=clock)


class MeasuredStore:
    """Passes everything on."""

    def __init__(self, store: VectorStore, metrics: VectorMetrics, *, clock: Clock) -> None:
        self.name = store.name
        self.abilities = store.abilities
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._turn = count(1)
        self._probe: asyncio.Task[None] | None = None

    async def search(self, collection: str, query: Query) -> list[Hit]:
        with self._measure("search", collection):
            found = await self._store.search(collection, query)
        if not query.is_exact and self.abilities.is_exact_on_demand and not next(self._turn) % PROBE_EVERY:
            self._begin_probe(collection, query, found)
        return found

    async def search_many(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
        with self._measure("search_many", collection):
            return await self._store.search_many(collection, queries)

    @contextmanager
    def _measure(self, operation: str, collection: str) -> Iterator[None]:
        said: dict[str, Attribute] = {
            "db.system.name": self.name,
            "db.operation.name": operation,
            "db.collection.name": collection,
        }
        with (
            self._metrics.tracing.around("", f"{operation} {collection}", "client", said),
            _Measure(self.name, operation, self._metrics, clock=self._clock),
        ):
            yield

    def _begin_probe(self, collection: str, query: Query, found: list[Hit]) -> None:
        if self._probe is None or self._probe.done():  # one at a time: an exact search looks at every point
            self._probe = asyncio.create_task(self._compare(collection, query, found))

    async def _compare(self, collection: str, query: Query, found: list[Hit]) -> None:
        try:
            exact = await self._store.search(collection, msgspec.structs.replace(query, is_exact=True))
        except UndercroftError as error:
            get_logger("undercroft.vectors").warning("recall_not_probed", collection=collection, reason=str(error))
            return
        if exact:
            right = len({hit.id for hit in found} & {hit.id for hit in exact})
            self._metrics.recall.labels(self.name).observe(right * 1000 // len(exact))

    async def create(self, spec: CollectionSpec) -> None:
        await self._store.create(spec)

    async def drop(self, collection: str) -> bool:
        return await self._store.drop(collection)

    async def collections(self) -> list[CollectionSpec]:
        return await self._store.collections()

    async def describe(self, collection: str) -> CollectionSpec:
        return await self._store.describe(collection)

    async def upsert(self, collection: str, points: Sequence[Point], *, namespace: str = "") -> None:
        await self._store.upsert(collection, points, namespace=namespace)

    async def get(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> list[Point]:
        return await self._store.get(collection, ids, namespace=namespace)

    async def delete(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> int:
        return await self._store.delete(collection, ids, namespace=namespace)

    async def delete_where(self, collection: str, where: Filter | None, *, namespace: str = "") -> int:
        return await self._store.delete_where(collection, where, namespace=namespace)

    async def count(self, collection: str, where: Filter | None = None, *, namespace: str = "") -> int:
        return await self._store.count(collection, where, namespace=namespace)

    async def scroll(
        self,
        collection: str,
        *,
        where: Filter | None = None,
        namespace: str = "",
        after: str | None = None,
        limit: int = 1000,
    ) -> Page:
        return await self._store.scroll(collection, where=where, namespace=namespace, after=after, limit=limit)

    async def stats(self, collection: str) -> Stats:
        return await self._store.stats(collection)

    async def close(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        await self._store.close()


class MeasuredTextStore(MeasuredStore):
    """The same for a store that finds by words, too."""

    async def search_text(self, collection: str, query: TextQuery) -> list[Hit]:
        assert isinstance(self._store, TextSearch), "looked at when this was made"
        with self._measure("search_text", collection):
            return await self._store.search_text(collection, query)


class _Measure:
    """One search, until it has answered or failed."""

    __slots__ = ("_clock", "_metrics", "_operation", "_started", "_store")

    def __init__(self, store: str, operation: str, metrics: VectorMetrics, *, clock: Clock) -> None:
        self._store = store
        self._operation = operation
        self._metrics = metrics
        self._clock = clock

    def __enter__(self) -> None:
        self._started = self._clock.monotonic()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        at = (self._store, self._operation)
        self._metrics.took.labels(*at).observe(round((self._clock.monotonic() - self._started) * US_PER_S))
        if isinstance(error, Exception):
            code = error.code if isinstance(error, UndercroftError) else UndercroftError.code
            self._metrics.failed.labels(*at, code).add()
