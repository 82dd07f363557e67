"""Qdrant's engine in this process, one at a time: `qdrant-edge-py`."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import qdrant_edge as edge

from undercroft.errors import Unavailable
from undercroft.vectors.errors import CollectionNotFound
from undercroft.vectors.stores.qdrant.conditions import Json, key
from undercroft.vectors.stores.qdrant.engine import DENSE, WORDS, Ask, Record, Sparse
from undercroft.vectors.types import CollectionSpec

T = TypeVar("T")

SPEC: Final = "spec.json"
FLAGS: Final = "flags"
"""Boolean fields once more, as texts: the engine takes the True of a condition for the number 1 (0.9.0)."""
OPTIMISED_AFTER: Final = 10_000
"""Points written before the graph is extended: that is done when it is asked for, not by itself."""
DISTANCES: Final = {
    "cosine": edge.Distance.Cosine,
    "dot": edge.Distance.Dot,
    "euclidean": edge.Distance.Euclid,
}
SCHEMAS: Final = {
    "text": edge.PayloadSchemaType.Keyword,
    "texts": edge.PayloadSchemaType.Keyword,
    "number": edge.PayloadSchemaType.Float,
    "boolean": edge.PayloadSchemaType.Bool,
}


class EdgeEngine:
    """A folder for each collection. What was acknowledged is in the engine's log, which outlives the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shards: dict[str, Any] = {}
        self._written: dict[str, int] = {}
        self._opening = asyncio.Lock()

    async def specs(self) -> list[CollectionSpec]:
        return await asyncio.to_thread(self._specs)

    async def create(self, spec: CollectionSpec) -> None:
        async with self._opening:
            self._shards[spec.name] = await asyncio.to_thread(self._create, spec)

    async def drop(self, name: str) -> bool:
        async with self._opening:
            if not (self._folder / name / SPEC).exists():
                return False
            if (shard := self._shards.pop(name, None)) is not None:
                await asyncio.to_thread(shard.close)
            await asyncio.to_thread(shutil.rmtree, self._folder / name)
            return True

    async def upsert(self, name: str, records: Sequence[Record]) -> None:
        points = []
        for record in records:
            vector: Any = {DENSE: record.dense}
            if record.words is not None:
                vector[WORDS] = edge.SparseVector(record.words.indices, record.words.values)
            points.append(edge.Point(record.key, vector, {**record.payload, FLAGS: _flags(record)}))
        await self._run(name, lambda shard: shard.update(edge.UpdateOperation.upsert_points(points)))
        self._written[name] = self._written.get(name, 0) + len(records)
        if self._written[name] >= OPTIMISED_AFTER:
            self._written[name] = 0
            await self._run(name, lambda shard: shard.optimize())

    async def delete(self, name: str, condition: Json) -> None:
        chosen = edge_filter(condition)
        await self._run(name, lambda shard: shard.update(edge.UpdateOperation.delete_points_by_filter(chosen)))

    async def retrieve(self, name: str, keys: Sequence[str], *, with_vectors: bool) -> list[Record]:
        found = await self._run(
            name, lambda shard: shard.retrieve(list(keys), with_payload=True, with_vector=with_vectors)
        )
        return [_record(each) for each in found]

    async def query(self, name: str, asks: Sequence[Ask]) -> list[list[tuple[float, Record]]]:
        requests = [
            edge.QueryRequest(
                limit=ask.limit,
                query=_nearest(ask.by),
                filter=edge_filter(ask.condition),
                score_threshold=ask.threshold,
                params=edge.SearchParams(hnsw_ef=ask.effort, exact=ask.is_exact),
                with_payload=True,
                with_vector=ask.with_vectors,
            )
            for ask in asks
        ]
        answers = await self._run(name, lambda shard: [shard.query(request) for request in requests])
        return [[(point.score, _record(point)) for point in answer] for answer in answers]

    async def scroll(
        self, name: str, condition: Json, *, after: str | None, limit: int
    ) -> tuple[list[Record], str | None]:
        request = edge.ScrollRequest(
            offset=after, limit=limit, filter=edge_filter(condition), with_payload=True, with_vector=True
        )
        found, following = await self._run(name, lambda shard: shard.scroll(request))
        return [_record(each) for each in found], None if following is None else str(following)

    async def count(self, name: str, condition: Json) -> int:
        request = edge.CountRequest(exact=True, filter=edge_filter(condition))
        return int(await self._run(name, lambda shard: shard.count(request)))

    async def namespaces(self, name: str) -> dict[str, int]:
        request = edge.FacetRequest("namespace", limit=10_000, exact=True)
        found = await self._run(name, lambda shard: shard.facet(request))
        return {str(hit.value): hit.count for hit in found.hits}

    async def close(self) -> None:
        async with self._opening:
            while self._shards:
                _, shard = self._shards.popitem()
                await asyncio.to_thread(shard.close)

    async def _run(self, name: str, work: Callable[[Any], T]) -> T:
        async with self._opening:
            if name not in self._shards:
                self._shards[name] = await asyncio.to_thread(self._load, name)
            shard = self._shards[name]
        return await asyncio.to_thread(work, shard)

    def _specs(self) -> list[CollectionSpec]:
        files = sorted(self._folder.glob(f"*/{SPEC}"))
        return [msgspec.json.decode(file.read_bytes(), type=CollectionSpec) for file in files]

    def _create(self, spec: CollectionSpec) -> Any:
        folder, index = self._folder / spec.name, spec.index
        folder.mkdir(parents=True, mode=0o700)
        config = edge.EdgeConfig(
            vectors={DENSE: edge.EdgeVectorParams(spec.dimension, DISTANCES[spec.metric])},
            sparse_vectors={WORDS: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
            hnsw_config=edge.HnswIndexConfig(index.connectivity, index.build_effort, 10_000),
            wal_enabled=True,
        )
        shard = edge.EdgeShard.create(str(folder / "shard"), config)
        for field, schema in [
            ("namespace", edge.PayloadSchemaType.Keyword),
            (FLAGS, edge.PayloadSchemaType.Keyword),
            *((f'metadata."{field}"', SCHEMAS[kind]) for field, kind in spec.fields.items()),
        ]:
            shard.update(edge.UpdateOperation.create_field_index(field, schema))
        (folder / SPEC).write_bytes(msgspec.json.encode(spec))  # last: without it there is no collection
        return shard

    def _load(self, name: str) -> Any:
        if not (self._folder / name / SPEC).exists():
            raise CollectionNotFound(name)
        try:
            return edge.EdgeShard.load(str(self._folder / name / "shard"))
        except Exception as error:  # the engine raises nothing more special
            if "WouldBlock" in str(error) or "lock" in str(error).lower():
                raise Unavailable(
                    "Another process has this Qdrant collection open.",
                    hint="qdrant_edge serves one process; use a Qdrant server, or the store `embedded`.",
                ) from error
            raise


def edge_filter(condition: Json) -> Any:
    """The same condition in the engine's classes."""
    parts: dict[str, Any] = {name: [_part(one) for one in some] for name, some in condition.items()}
    return edge.Filter(**parts)


def _part(one: Json) -> Any:
    if "match" in one and isinstance(value := one["match"]["value"], bool):
        return edge.FieldCondition(FLAGS, match=edge.MatchValue(_flag(one["key"], value)))
    if "match" in one:
        return edge.FieldCondition(one["key"], match=edge.MatchValue(one["match"]["value"]))
    if "range" in one:
        return edge.FieldCondition(one["key"], range=edge.RangeFloat(**one["range"]))
    if "is_empty" in one:
        return edge.IsEmptyCondition(one["is_empty"]["key"])
    if "has_id" in one:
        return edge.HasIdCondition(set(one["has_id"]))
    return edge_filter(one)


def _flags(record: Record) -> list[str]:
    kept = record.payload["metadata"]
    return [_flag(key(name), value) for name, value in kept.items() if isinstance(value, bool)]


def _flag(place: str, value: bool) -> str:
    return f"{place}={value}"


def _nearest(by: list[float] | Sparse) -> Any:
    if isinstance(by, Sparse):
        return edge.Query.Nearest(edge.SparseVector(by.indices, by.values), using=WORDS)
    return edge.Query.Nearest(by, using=DENSE)


def _record(found: Any) -> Record:
    vector = found.vector
    return Record(str(found.id), found.payload or {}, vector.get(DENSE) if isinstance(vector, dict) else None)
