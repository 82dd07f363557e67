"""pgvector, on a real server, by the suite that is shipped."""

import asyncio
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec
import pytest

from undercroft.clock import SystemClock
from undercroft.storage.engine import open_database
from undercroft.testing.providers import name_of
from undercroft.testing.vector_data import random_vector
from undercroft.testing.vectors import Claim, Subject, vector_claims
from undercroft.vectors.filters import Eq
from undercroft.vectors.stores.pgvector.store import PgVectorStore
from undercroft.vectors.types import CollectionSpec, IndexOptions, Point, Query

NUMBERS = count()


@pytest.fixture(scope="module")
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgVectorStore]:
    url = request.getfixturevalue("postgres_server").new_database()
    folder: Path = tmp_path_factory.mktemp("pgvector")
    store = PgVectorStore(open_database(url, data_dir=folder, pool_size=8, clock=SystemClock()), owns_database=True)
    yield store
    asyncio.run(store.close())


@pytest.mark.parametrize("claim", vector_claims(PgVectorStore.abilities), ids=name_of)
def test_pgvector(claim: Claim, store: PgVectorStore) -> None:
    asyncio.run(claim(Subject(store=store, numbers=NUMBERS)))


@pytest.mark.parametrize(
    "index",
    [
        IndexOptions(),
        IndexOptions(is_half=False),
        IndexOptions(kind="ivfflat", lists=20),
        IndexOptions(kind="none"),
    ],
    ids=["halfvec", "vector", "ivfflat", "exact"],
)
def test_a_filter_that_few_fit_brings_as_many_as_there_are(index: IndexOptions, store: PgVectorStore) -> None:
    """With pgvector's defaults, an index scan returns fewer than asked for on every one of these."""
    rng = random.Random(8)
    spec = CollectionSpec(name=f"filtered-{index.kind}-{index.is_half}", dimension=16, index=index)
    points = [
        Point(id=str(place), vector=random_vector(rng, 16), metadata={"part": place % 100}) for place in range(3000)
    ]

    async def run() -> None:
        await store.create(spec)
        await store.upsert(spec.name, points)
        for _ in range(5):
            query = Query(vector=random_vector(rng, 16), where=Eq("part", 7))
            exact = await store.search(spec.name, msgspec.structs.replace(query, is_exact=True))
            hits = await store.search(spec.name, query)
            assert len(hits) == len(exact) == 10
            assert len({hit.id for hit in hits} & {hit.id for hit in exact}) >= 9

    asyncio.run(run())
