"""Measures stores on the same data: recall against exact search, searches a second, latencies, build, memory, disk."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from math import ceil
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from undercroft.vectors.data_sets import DataSet, Exact, filter_of
from undercroft.vectors.judging import Quality, judge, modes_of
from undercroft.vectors.search import Request, search
from undercroft.vectors.store import VectorStore
from undercroft.vectors.types import CollectionSpec, IndexOptions, Metric, Query

BATCH: Final = 1000
READY_S: Final = 600.0
POLL_S: Final = 0.25
STEADY: Final = 4
"""So many looks in a row at an index that does not change: it is built."""

Monotonic = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


class Course(Struct, frozen=True, kw_only=True):
    """What is measured."""

    limit: int = 10
    metric: Metric = "cosine"
    index: IndexOptions = IndexOptions()
    efforts: tuple[int | None, ...] = (None, 16, 32, 64, 128, 256)
    """Candidates of the index; None: the store's own default."""
    shares: tuple[float, ...] = (1.0, 0.1, 0.01)
    """Of the points that a filter lets through; 1: no filter."""
    clients: tuple[int, ...] = (1, 4)
    """Searches that are under way at once."""
    seconds: float = 2.0
    """Of each measurement."""
    has_hybrid: bool = True


class Build(Struct, frozen=True, kw_only=True):
    """What it took to have the points in the store, searchable."""

    points: int
    upsert_s: float
    ready_s: float
    """From the first point until the index stopped changing."""
    memory_bytes: int | None
    disk_bytes: int | None
    index: str


class Measured(Struct, frozen=True, kw_only=True):
    """One way to search, under one load. Latencies in milliseconds."""

    mode: str
    effort: int | None
    share: float
    clients: int
    recall: float | None
    """Share of the true nearest that came back; None for hybrid search, which has no true answer."""
    short: int
    """Answers with fewer hits than there should have been."""
    searches: int
    qps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


class Report(Struct, frozen=True, kw_only=True):
    """What was measured of one store."""

    store: str
    data: str
    build: Build
    measured: tuple[Measured, ...]
    quality: tuple[Quality, ...] = ()
    """By every kind of search, where the data say which points answer a question."""


class Bench:
    """Measures one store after the other. `monotonic` is in seconds; `advance` is told of every step done."""

    def __init__(
        self,
        data: DataSet,
        course: Course,
        *,
        monotonic: Monotonic,
        sleep: Sleep = asyncio.sleep,
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._data = data
        self._course = course
        self._monotonic = monotonic
        self._sleep = sleep
        self._advance = advance
        self._exact = Exact(data, course.metric)
        self._truth: dict[float, list[set[str]]] = {}

    def steps(self) -> int:
        """How many steps one store's measurement has."""
        course = self._course
        return len(self._data.points) + len(course.efforts) * len(course.shares) * len(course.clients) * BATCH

    async def run(self, store: VectorStore, collection: str) -> Report:
        """Fills a new collection, measures it, and drops it."""
        try:
            build = await self.build(store, collection)
            measured = [
                await self.measure(store, collection, effort=effort, share=share, clients=clients)
                for share in self._course.shares
                for effort in self._course.efforts
                for clients in self._course.clients
            ]
            if self._course.has_hybrid and store.abilities.has_text_search and self._data.has_texts:
                measured += [await self._hybrid(store, collection, clients) for clients in self._course.clients]
            quality = await self._judged(store, collection)
        finally:
            await store.drop(collection)
        return Report(store=store.name, data=self._data.name, build=build, measured=tuple(measured), quality=quality)

    async def build(self, store: VectorStore, collection: str) -> Build:
        points = self._data.points
        await store.create(
            CollectionSpec(
                name=collection,
                dimension=self._data.dimension,
                metric=self._course.metric,
                index=self._course.index,
            )
        )
        started = self._monotonic()
        for start in range(0, len(points), BATCH):
            some = points[start : start + BATCH]
            await store.upsert(collection, some)
            self._advance(len(some))
        upserted = self._monotonic()
        ready = await self._settled(store, collection)
        stats = await store.stats(collection)
        return Build(
            points=len(points),
            upsert_s=upserted - started,
            ready_s=ready - started,
            memory_bytes=stats.memory_bytes,
            disk_bytes=stats.disk_bytes,
            index=stats.index,
        )

    async def measure(
        self, store: VectorStore, collection: str, *, effort: int | None, share: float, clients: int
    ) -> Measured:
        """Recall over all queries once, then the load for the course's seconds."""
        queries = self._queries(effort, share)
        truth = self._true(share)
        hits = await store.search_many(collection, queries)
        shared = sum(len({hit.id for hit in found} & wanted) for found, wanted in zip(hits, truth, strict=True))
        wanted = sum(map(len, truth))
        short = sum(len(found) < len(wanted) for found, wanted in zip(hits, truth, strict=True))

        async def ask(place: int) -> None:
            await store.search(collection, queries[place % len(queries)])

        latencies, took_s = await self._loaded(ask, clients)
        self._advance(BATCH)
        return _measured(
            latencies,
            took_s,
            mode="dense",
            effort=effort,
            share=share,
            clients=clients,
            recall=shared / wanted if wanted else None,
            short=short,
        )

    async def _hybrid(self, store: VectorStore, collection: str, clients: int) -> Measured:
        requests = [
            Request(mode="hybrid", vector=point.vector, text=point.text, limit=self._course.limit)
            for point in self._data.queries
        ]

        async def ask(place: int) -> None:
            await search(store, collection, requests[place % len(requests)])

        latencies, took_s = await self._loaded(ask, clients)
        return _measured(
            latencies, took_s, mode="hybrid", effort=None, share=1.0, clients=clients, recall=None, short=0
        )

    async def _judged(self, store: VectorStore, collection: str) -> tuple[Quality, ...]:
        questions, limit = self._data.questions, self._course.limit
        if not questions:
            return ()
        modes = modes_of(store) if self._data.has_texts else modes_of(store)[:1]
        return tuple([await judge(store, collection, questions, mode=mode, limit=limit) for mode in modes])

    async def _loaded(self, ask: Callable[[int], Awaitable[None]], clients: int) -> tuple[list[float], float]:
        """Latencies in seconds, and how long it all took: each client asks anew as soon as it has its answer."""
        latencies: list[float] = []
        places = count()
        started = self._monotonic()
        until = started + self._course.seconds

        async def client() -> None:
            while True:
                began = self._monotonic()
                await ask(next(places))
                ended = self._monotonic()
                latencies.append(ended - began)
                if ended >= until:
                    return

        await asyncio.gather(*(client() for _ in range(clients)))
        return latencies, self._monotonic() - started

    async def _settled(self, store: VectorStore, collection: str) -> float:
        """When every point could be counted and the index had stopped changing, or the wait was given up."""
        query = Query(vector=self._data.queries[0].vector, limit=1)
        until = self._monotonic() + READY_S
        told, steady, since = "", 0, self._monotonic()
        while self._monotonic() < until:
            await store.search(collection, query)
            stats = await store.stats(collection)
            now = f"{stats.points} {stats.index} {stats.disk_bytes}"
            steady = steady + 1 if now == told and stats.points == len(self._data.points) else 0
            if steady == 0:
                told, since = now, self._monotonic()
            if steady >= STEADY:
                return since
            await self._sleep(POLL_S)
        return self._monotonic()

    def _queries(self, effort: int | None, share: float) -> list[Query]:
        where = filter_of(share)
        return [
            Query(vector=point.vector, limit=self._course.limit, effort=effort, where=where)
            for point in self._data.queries
        ]

    def _true(self, share: float) -> list[set[str]]:
        if share not in self._truth:
            plain = self._queries(None, 1.0)
            self._truth[share] = [self._exact.nearest(query, share=min(share, 1.0)) for query in plain]
        return self._truth[share]


def _measured(latencies: Sequence[float], took_s: float, **known: object) -> Measured:
    ordered = sorted(latencies)
    p50, p95, p99 = (1000 * percentile(ordered, share) for share in (0.5, 0.95, 0.99))
    qps = len(ordered) / took_s
    return Measured(searches=len(ordered), qps=qps, p50_ms=p50, p95_ms=p95, p99_ms=p99, **known)  # type: ignore[arg-type]  # checked by msgspec's own names


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that this share of them does not exceed (nearest rank)."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def faster_at(report: Report, recall: float, *, share: float = 1.0) -> Measured | None:
    """The fastest way with this recall; None where none has it."""
    fit = [one for one in report.measured if one.recall is not None and one.recall >= recall and one.share == share]
    return max(fit, key=lambda one: one.qps, default=None)


def rounded(measured: Measured) -> Measured:
    """As it is shown: no more digits than mean something."""
    return replace(
        measured,
        recall=None if measured.recall is None else round(measured.recall, 4),
        qps=round(measured.qps, 1),
        p50_ms=round(measured.p50_ms, 2),
        p95_ms=round(measured.p95_ms, 2),
        p99_ms=round(measured.p99_ms, 2),
    )
