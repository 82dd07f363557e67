"""What only shows with many points, several processes, or damaged files."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from undercroft.clock import SystemClock
from undercroft.errors import ConfigurationError
from undercroft.vectors.filters import Eq, Exists, Not, Range
from undercroft.vectors.stores.embedded import words
from undercroft.vectors.stores.embedded.store import EmbeddedStore
from undercroft.vectors.types import CollectionSpec, Hit, Point, Query, TextQuery, Vector, vector_of

SPEC = CollectionSpec(name="many", dimension=128)
POINTS = 11_000


def clustered(number: int, *, seed: int = 1) -> Any:
    """Vectors that have near neighbours, as those of texts do."""
    base, rng = np.random.default_rng(0), np.random.default_rng(seed)
    centres, ways = base.standard_normal((200, SPEC.dimension)), base.standard_normal((12, SPEC.dimension))
    made = centres[rng.integers(0, 200, number)] + rng.standard_normal((number, 12)) @ ways * 0.4
    return made.astype(np.float32)


def vector(numbers: Any) -> "Vector[float]":
    made: Vector[float] = Vector("f")
    made.frombytes(numbers.tobytes())
    return made


def made_points(vectors: Any, *, start: int = 0) -> list[Point]:
    return [
        Point(id=f"p{place}", vector=vector(row), metadata={"part": place % 1000, "half": place % 2 == 0})
        for place, row in enumerate(vectors, start)
    ]


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore(folder, clock=SystemClock(), **options)
    try:
        yield store
    finally:
        await store.close()


async def fill(store: EmbeddedStore, vectors: Any, *, start: int = 0) -> None:
    points = made_points(vectors, start=start)
    for first in range(0, len(points), 5000):
        await store.upsert(SPEC.name, points[first : first + 5000])


async def recall(store: EmbeddedStore, queries: Any, **changes: Any) -> float:
    """Share of the exact ten that an ordinary search finds."""
    found = 0
    for row in queries:
        query = Query(vector=vector(row), **changes)
        exact = await store.search(SPEC.name, Query(vector=vector(row), is_exact=True, **changes))
        found += len(ids(exact) & ids(await store.search(SPEC.name, query)))
    return found / (10 * len(queries))


def ids(hits: Sequence[Hit]) -> set[str]:
    return {hit.id for hit in hits}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a collection whose graph has been built and saved."""
    folder = tmp_path_factory.mktemp("filled")

    async def run() -> None:
        async with opened(folder) as store:
            await store.create(SPEC)
            await fill(store, clustered(POINTS))
            await store.search(SPEC.name, Query(vector=vector(clustered(1)[0])))
            await store.settled()
            assert "hnsw" in (await store.stats(SPEC.name)).index

    asyncio.run(run())
    return folder


@pytest.fixture
def copy(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "copy"))


def derived(folder: Path) -> Path:
    (snapshot,) = (folder / "vectors").glob("*/snapshot-*")
    return snapshot


def test_every_way_finds_nearly_all_of_the_nearest(copy: Path) -> None:
    async def run() -> None:
        async with opened(copy) as store:
            queries = clustered(30, seed=2)
            for where in (None, Eq("half", value=True), Range("part", lt=200), Eq("part", 3)):
                assert await recall(store, queries, where=where) >= 0.95, f"with {where}"

    asyncio.run(run())


def test_an_intact_index_is_read_back_and_a_damaged_one_derived_anew(copy: Path) -> None:
    async def index_of(folder: Path) -> str:
        async with opened(folder, keeps_up=False) as store:
            hits = await store.search(SPEC.name, Query(vector=vector(clustered(POINTS)[7]), limit=1))
            assert [hit.id for hit in hits] == ["p7"]
            return (await store.stats(SPEC.name)).index

    assert "hnsw over 11000" in asyncio.run(index_of(copy))
    snapshot = derived(copy)
    graph = (snapshot / "graph.usearch").read_bytes()
    (snapshot / "graph.usearch").write_bytes(graph[: len(graph) // 2])
    assert "hnsw" not in asyncio.run(index_of(copy)), "half a graph was believed"
    (snapshot / "graph.usearch").write_bytes(graph)
    with (snapshot / "vectors.f32").open("r+b") as file:
        file.write(b"\x00\x00\x80\x3f" * 1000)
    assert "hnsw" not in asyncio.run(index_of(copy)), "other vectors than the truth's were believed"
    (snapshot / "description.json").write_text("{}")
    assert "hnsw" not in asyncio.run(index_of(copy))
    shutil.rmtree(copy / "vectors")
    assert "hnsw" not in asyncio.run(index_of(copy))


def test_points_past_the_index_and_points_that_are_gone_count_at_once(copy: Path) -> None:
    async def run() -> None:
        async with opened(copy, keeps_up=False) as store:
            fresh = clustered(50, seed=9)
            await fill(store, fresh, start=POINTS)
            for place in (0, 49):
                (hit,) = await store.search(SPEC.name, Query(vector=vector(fresh[place]), limit=1))
                assert hit.id == f"p{POINTS + place}"
            old = clustered(POINTS)
            near = await store.search(SPEC.name, Query(vector=vector(old[5]), limit=10))
            assert await store.delete(SPEC.name, [hit.id for hit in near]) == 10
            after = await store.search(SPEC.name, Query(vector=vector(old[5]), limit=10))
            assert len(after) == 10
            assert not ids(after) & ids(near)
        async with opened(copy, keeps_up=False) as again:
            assert not ids(await again.search(SPEC.name, Query(vector=vector(old[5]), limit=10))) & ids(near)
            assert (await again.stats(SPEC.name)).points == POINTS + 40

    asyncio.run(run())


def test_the_index_is_extended_and_rid_of_what_is_gone_beside_searches(copy: Path) -> None:
    async def run() -> None:
        async with opened(copy) as store:
            await fill(store, clustered(3000, seed=5), start=POINTS)
            await store.delete_where(SPEC.name, Range("part", lt=500))
            query = Query(vector=vector(clustered(1)[0]))
            for _ in range(2):  # what was removed while the graph grew is found out after that
                for _ in range(20):
                    assert len(await store.search(SPEC.name, query)) == 10
                await store.settled()
            assert await recall(store, clustered(20, seed=6)) >= 0.95
            assert (await store.stats(SPEC.name)).index.startswith("hnsw over 7000 of 7000")
        async with opened(copy, keeps_up=False) as again:
            await again.search(SPEC.name, query)
            assert (await again.stats(SPEC.name)).index.startswith("hnsw over 7000 of 7000")

    asyncio.run(run())


WRITER = """
    import asyncio, sys
    from pathlib import Path
    from undercroft.clock import SystemClock
    from undercroft.vectors.stores.embedded.store import EmbeddedStore
    from undercroft.vectors.types import Point, vector_of

    async def main():
        store = EmbeddedStore(Path(sys.argv[1]), clock=SystemClock())
        for number in range(10**9):
            vectors = [vector_of([number % 7, part, 1]) for part in range(3)]
            points = [Point(id=f"{number}-{part}", vector=one, text="word") for part, one in enumerate(vectors)]
            await store.upsert("killed", points)
            print(number, flush=True)

    asyncio.run(main())
"""


def test_nothing_acknowledged_is_lost_to_kill_nine_and_no_batch_is_halved(tmp_path: Path) -> None:
    async def prepare() -> None:
        async with opened(tmp_path) as store:
            await store.create(CollectionSpec(name="killed", dimension=3))

    async def look(acknowledged: int) -> None:
        async with opened(tmp_path) as store:
            stored = await store.count("killed")
            assert stored % 3 == 0, "half a batch was stored"
            assert stored >= 3 * (acknowledged + 1), (
                f"{acknowledged + 1} batches were acknowledged, {stored} points stand"
            )
            assert len(await store.search("killed", Query(vector=vector_of([1, 1, 1]), limit=5))) == 5
            assert len(await store.search_text("killed", TextQuery(text="word", limit=5))) == 5

    asyncio.run(prepare())
    for _ in range(2):
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(40)]
            os.kill(writer.pid, signal.SIGKILL)
            told += [int(line) for line in writer.stdout if line.endswith("\n")]
        asyncio.run(look(told[-1] - told[0]))


def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "vectors.db") as connection:
        connection.execute("CREATE TABLE theirs (a)")
    with pytest.raises(ConfigurationError, match="another program"):
        EmbeddedStore(tmp_path, clock=SystemClock())


def test_without_tantivy_the_same_words_find_the_same(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as store:
            spec = CollectionSpec(name="texts", dimension=2)
            await store.create(spec)
            texts = ["a tower", "two towers fell", "the river", "a tower by the river"]
            points = [Point(id=text, vector=vector_of([1, 0]), text=text) for text in texts]
            await store.upsert("texts", points)
            located = store._find("texts")
            other = words.FtsWords(store._file, located.number)
            for text in ("tower", "river tower", "falling", 'an "odd* query'):
                hits = await store.search_text("texts", TextQuery(text=text, where=Not(Exists("x"))))
                view = store._shelf(located)[0].view()
                sought = words.Sought(text, 10, fits=lambda rows: [True] * len(rows), few=None, living=view.living)
                found = other.search(sought)
                names = {int(row): view.rows.tolist().index(row) for row, _ in found}
                assert {texts[place] for place in names.values()} == ids(hits), text

    asyncio.run(run())
