import asyncio

import pytest

from tests.support.clock import ManualClock
from tests.support.memory_vectors import MemoryStore
from tests.support.tracing import untraced
from undercroft.assembly.measured_vectors import MeasuredStore, MeasuredTextStore
from undercroft.assembly.vector_metrics import PROBE_EVERY, VectorMetrics
from undercroft.telemetry.metrics import Metrics
from undercroft.vectors.errors import CollectionNotFound
from undercroft.vectors.store import TextSearch
from undercroft.vectors.types import CollectionSpec, Hit, Point, Query, TextQuery, vector_of


class Forgetful(MemoryStore):
    """An index that misses the last of its hits, unless it looks at every point."""

    async def search(self, collection: str, query: Query) -> list[Hit]:
        found = await super().search(collection, query)
        return found if query.is_exact else found[:-1]


async def filled(store: MemoryStore, metrics: Metrics) -> MeasuredStore:
    await store.create(CollectionSpec(name="texts", dimension=2))
    points = [Point(id=str(n), vector=vector_of((1, n)), text="word") for n in range(1, 5)]
    await store.upsert("texts", points)
    clock = ManualClock()
    around = VectorMetrics(metrics, untraced(clock)).around(store, clock=clock)
    assert isinstance(around, MeasuredStore)
    return around


def test_searches_and_their_errors_are_counted_and_answers_are_the_stores_own() -> None:
    metrics = Metrics(clock=ManualClock())

    async def run() -> None:
        store = await filled(MemoryStore(), metrics)
        query = Query(vector=vector_of((1, 1)), limit=2)
        assert [hit.id for hit in await store.search("texts", query)] == ["1", "2"]
        assert len(await store.search_many("texts", [query, query])) == 2
        assert isinstance(store, MeasuredTextStore)
        assert isinstance(store, TextSearch)
        assert len(await store.search_text("texts", TextQuery(text="word", limit=3))) == 3
        with pytest.raises(CollectionNotFound):
            await store.search("nowhere", query)
        await store.close()

    asyncio.run(run())
    text = metrics.render()[1].decode()
    assert 'ai_vector_query_seconds_count{store="memory",operation="search"} 2\n' in text
    assert 'ai_vector_query_seconds_count{store="memory",operation="search_many"} 1\n' in text
    assert 'ai_vector_query_seconds_count{store="memory",operation="search_text"} 1\n' in text
    assert 'ai_vector_query_errors_total{store="memory",operation="search",type="collection_not_found"} 1\n' in text


def test_one_search_of_many_is_compared_with_an_exact_one() -> None:
    metrics = Metrics(clock=ManualClock())

    async def run() -> None:
        store = await filled(Forgetful(), metrics)
        for _ in range(PROBE_EVERY):
            await store.search("texts", Query(vector=vector_of((1, 1)), limit=4))
        for _ in range(3):
            await asyncio.sleep(0)
        await store.close()

    asyncio.run(run())
    text = metrics.render()[1].decode()
    assert 'ai_vector_recall_ratio_count{store="memory"} 1\n' in text
    assert 'ai_vector_recall_ratio_sum{store="memory"} 0.75\n' in text
