"""One contender of `benchmarks/vectors.py`, in a process of its own: reads commands from its input, answers in lines.

It runs under the rival's own Python, which has that rival and numpy, so it imports nothing else at the top.

usage: python vector_contenders.py NAME FOLDER
"""

import asyncio
import json
import resource
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

FIELDS = {"m1000": 1000, "m100": 100, "m10": 10, "m2": 2}
"""Metadata of every point: a number below this, spread evenly, so that a value fits 0.1, 1, 10 or 50 % of them."""
LIMIT = 10


def field_values(modulus: int, points: int) -> Any:
    return np.arange(points) * 7919 % 1000 % modulus


class Undercroft:
    """The embedded store, by its async interface."""

    efforts = (48, 64, 96, 128, 192, 256)

    def __init__(self, folder: Path) -> None:
        from undercroft.clock import SystemClock
        from undercroft.vectors.stores.embedded.store import EmbeddedStore

        self._folder = folder
        self._open: Any = partial(EmbeddedStore, folder, clock=SystemClock(), threads=2)
        self._loop = asyncio.new_event_loop()
        self._store = self._open()

    def build(self, vectors: Any, texts: list[str]) -> dict[str, float]:
        from undercroft.vectors.types import CollectionSpec, Point

        run = self._loop.run_until_complete
        run(self._store.create(CollectionSpec(name="bench", dimension=vectors.shape[1])))
        fields = {name: field_values(modulus, len(vectors)).tolist() for name, modulus in FIELDS.items()}
        started = time.perf_counter()
        for start in range(0, len(vectors), 5000):
            points = [
                Point(
                    id=str(place),
                    vector=_array(vectors[place]),
                    metadata={name: values[place] for name, values in fields.items()},
                    text=texts[place],
                )
                for place in range(start, min(start + 5000, len(vectors)))
            ]
            run(self._store.upsert("bench", points))
        written = time.perf_counter()
        self.search(vectors[0], None, None)
        run(self._store.settled())
        derived = time.perf_counter()
        run(self._store.close())
        self._store = self._open()
        opened = time.perf_counter()
        self.search(vectors[0], None, None)
        return {
            "write_s": written - started,
            "derive_s": derived - written,
            "start_s": time.perf_counter() - opened,
        }

    def search(self, query: Any, where: tuple[str, int] | None, effort: int | None) -> list[int]:
        from undercroft.vectors.filters import Eq
        from undercroft.vectors.types import Query

        asked = Query(vector=_array(query), limit=LIMIT, where=Eq(*where) if where else None, effort=effort)
        return [int(hit.id) for hit in self._loop.run_until_complete(self._store.search("bench", asked))]

    def rebuild(self) -> float:
        """Seconds until all that is derived from the file is there again, after it was thrown away."""
        from undercroft.vectors.stores.embedded.store import FOLDER

        run = self._loop.run_until_complete
        vector = run(self._store.get("bench", ["0"]))[0].vector
        run(self._store.close())
        shutil.rmtree(self._folder / FOLDER)
        self._store = self._open()
        started = time.perf_counter()
        self.search(vector, None, None)
        run(self._store.settled())
        return time.perf_counter() - started

    def hybrid(self, query: Any, text: str) -> int:
        from undercroft.vectors.search import Request, search

        asked = Request(mode="hybrid", vector=_array(query), text=text, limit=LIMIT)
        return len(self._loop.run_until_complete(search(self._store, "bench", asked)))


class QdrantEdge:
    """Qdrant's engine in the process, by its own interface."""

    efforts = (32, 48, 64, 96, 128, 192, 256, 512)

    def __init__(self, folder: Path) -> None:
        import qdrant_edge

        self._edge: Any = qdrant_edge
        self._folder = folder
        self._shard: Any = None

    def build(self, vectors: Any, texts: list[str]) -> dict[str, float]:
        edge = self._edge
        config = edge.EdgeConfig(
            vectors={"dense": edge.EdgeVectorParams(vectors.shape[1], edge.Distance.Cosine)},
            hnsw_config=edge.HnswIndexConfig(16, 128, 1000),
        )
        self._folder.mkdir(parents=True)
        self._shard = edge.EdgeShard.create(str(self._folder), config)
        fields = {name: field_values(modulus, len(vectors)).tolist() for name, modulus in FIELDS.items()}
        for name in FIELDS:
            self._shard.update(edge.UpdateOperation.create_field_index(name, edge.PayloadSchemaType.Integer))
        started = time.perf_counter()
        for start in range(0, len(vectors), 1000):
            points = [
                edge.Point(
                    place,
                    {"dense": vectors[place].tolist()},
                    {**{name: values[place] for name, values in fields.items()}, "text": texts[place]},
                )
                for place in range(start, min(start + 1000, len(vectors)))
            ]
            self._shard.update(edge.UpdateOperation.upsert_points(points))
        written = time.perf_counter()
        while self._shard.optimize():
            pass
        derived = time.perf_counter()
        self._shard.close()
        self._shard = edge.EdgeShard.load(str(self._folder))
        opened = time.perf_counter()
        self.search(vectors[0], None, None)
        return {"write_s": written - started, "derive_s": derived - written, "start_s": time.perf_counter() - opened}

    def search(self, query: Any, where: tuple[str, int] | None, effort: int | None) -> list[int]:
        edge = self._edge
        chosen = None
        if where:
            chosen = edge.Filter(must=[edge.FieldCondition(where[0], match=edge.MatchValue(where[1]))])
        request = edge.QueryRequest(
            limit=LIMIT,
            query=edge.Query.Nearest(query.tolist(), using="dense"),
            filter=chosen,
            params=edge.SearchParams(hnsw_ef=effort),
            with_payload=True,
        )
        return [int(point.id) for point in self._shard.query(request)]


class LanceDb:
    """LanceDB with its IVF-HNSW index and a scalar index on each field."""

    efforts = (64, 128, 256)

    def __init__(self, folder: Path) -> None:
        import lancedb  # type: ignore[import-not-found]  # in a folder of its own

        self._database = lancedb.connect(str(folder))
        self._table: Any = None

    def build(self, vectors: Any, texts: list[str]) -> dict[str, float]:
        import pyarrow as pa  # type: ignore[import-not-found]  # in a folder of its own

        columns = {"id": pa.array(np.arange(len(vectors))), "text": pa.array(texts)}
        columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        for name, modulus in FIELDS.items():
            columns[name] = pa.array(field_values(modulus, len(vectors)))
        started = time.perf_counter()
        self._table = self._database.create_table("bench", pa.table(columns))
        written = time.perf_counter()
        self._table.create_index(metric="cosine", index_type="IVF_HNSW_SQ", num_partitions=1, m=16, ef_construction=128)
        for name in FIELDS:
            self._table.create_scalar_index(name)
        derived = time.perf_counter()
        self.search(vectors[0], None, None)
        return {"write_s": written - started, "derive_s": derived - written}

    def search(self, query: Any, where: tuple[str, int] | None, effort: int | None) -> list[int]:
        asked = self._table.search(query).distance_type("cosine").limit(LIMIT).ef(effort or 64).refine_factor(3)
        if where:
            asked = asked.where(f"{where[0]} = {where[1]}", prefilter=True)
        found = asked.select(["id", "text"]).to_arrow()
        return [int(one) for one in found["id"].to_pylist()]


class Chroma:
    """chromadb with its defaults but for the graph's width; its search width is set when the collection is made."""

    efforts = (100,)

    def __init__(self, folder: Path) -> None:
        import chromadb  # type: ignore[import-not-found]  # in a folder of its own

        self._client = chromadb.PersistentClient(str(folder))
        self._collection: Any = None

    def build(self, vectors: Any, texts: list[str]) -> dict[str, float]:
        metadata = {"hnsw:space": "cosine", "hnsw:M": 16, "hnsw:construction_ef": 128, "hnsw:search_ef": 100}
        self._collection = self._client.create_collection("bench", metadata=metadata, embedding_function=None)
        fields = {name: field_values(modulus, len(vectors)).tolist() for name, modulus in FIELDS.items()}
        started = time.perf_counter()
        for start in range(0, len(vectors), 5000):
            places = range(start, min(start + 5000, len(vectors)))
            self._collection.add(
                ids=[str(place) for place in places],
                embeddings=vectors[start : start + 5000],
                metadatas=[{name: values[place] for name, values in fields.items()} for place in places],
                documents=[texts[place] for place in places],
            )
        self.search(vectors[0], None, None)
        return {"write_s": time.perf_counter() - started, "derive_s": 0.0}

    def search(self, query: Any, where: tuple[str, int] | None, effort: int | None) -> list[int]:
        chosen = {where[0]: where[1]} if where else None
        found = self._collection.query(query_embeddings=query[np.newaxis], n_results=LIMIT, where=chosen)
        return [int(one) for one in found["ids"][0]]


CONTENDERS: dict[str, Any] = {
    "undercroft": Undercroft,
    "qdrant-edge": QdrantEdge,
    "lancedb": LanceDb,
    "chromadb": Chroma,
}


class Session:
    """Answers the commands."""

    def __init__(self, name: str, folder: Path) -> None:
        set_folder = folder / "set"
        self._folder = folder / f"of-{name}"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._vectors = np.load(set_folder / "vectors.npy")  # read, not mapped: it is in `_before`
        self._queries = np.load(set_folder / "queries.npy")
        self._truth = json.loads((set_folder / "truth.json").read_text())
        self._texts = json.loads((set_folder / "texts.json").read_text())
        self._questions = json.loads((set_folder / "questions.json").read_text())
        self._before = resident_mb()
        self._contender = CONTENDERS[name](self._folder)

    def build(self) -> dict[str, Any]:
        """Writes and indexes everything."""
        times = self._contender.build(self._vectors, self._texts)
        return {**times, "efforts": list(self._contender.efforts)}

    def recall(self, field: str, effort: int) -> dict[str, Any]:
        """Of the true nearest, the share that is found, over all queries."""
        found = 0
        for place, query in enumerate(self._queries):
            hits = self._contender.search(query, self._where(field, place), effort)
            found += len(set(hits) & set(self._truth[field][place]))
        return {"recall": found / sum(len(each) for each in self._truth[field])}

    def measure(self, field: str, effort: int, seconds: float) -> dict[str, Any]:
        """The time of each query, for so long."""
        took: list[float] = []
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            place = len(took) % len(self._queries)
            started = time.perf_counter()
            self._contender.search(self._queries[place], self._where(field, place), effort)
            took.append(time.perf_counter() - started)
        return {"qps": len(took) / sum(took), **percentiles(took)}

    def hybrid(self) -> dict[str, Any]:
        """By meaning and words: the time of each question."""
        took = []
        for turn in range(2):
            for query, question in zip(self._queries, self._questions, strict=True):
                started = time.perf_counter()
                self._contender.hybrid(query, question)
                took += [time.perf_counter() - started] * turn  # the first round makes the index of words
        return percentiles(took)

    def rebuild(self) -> dict[str, Any]:
        """The index, from nothing but the points."""
        return {"rebuild_s": self._contender.rebuild()}

    def size(self) -> dict[str, Any]:
        """Memory above what the process had with nothing but the set in it, and disk."""
        files = [file for file in self._folder.rglob("*") if file.is_file()]
        return {
            "memory_mb": resident_mb() - self._before,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "disk_mb": sum(file.stat().st_blocks for file in files) * 512 / 1e6,
        }

    def _where(self, field: str, place: int) -> tuple[str, int] | None:
        return (field, place % FIELDS[field]) if field in FIELDS else None


def percentiles(took: list[float]) -> dict[str, float]:
    ordered = sorted(took)
    names = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
    return {name: ordered[int(share * (len(ordered) - 1))] * 1000 for name, share in names.items()}


def resident_mb() -> float:
    """Memory of this process, files that it maps included."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def _array(row: Any) -> Any:
    from array import array

    made = array("f")
    made.frombytes(np.ascontiguousarray(row, np.float32).tobytes())
    return made


if __name__ == "__main__":
    session = Session(sys.argv[1], Path(sys.argv[2]))
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        sys.stdout.write(json.dumps(getattr(session, name)(*arguments)) + "\n")
        sys.stdout.flush()
