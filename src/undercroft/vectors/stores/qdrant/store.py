"""The Qdrant store: our points as Qdrant's, ids and namespaces in the payload."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from undercroft.errors import Unavailable
from undercroft.vectors import checks
from undercroft.vectors.errors import CollectionNotFound, InvalidQuery, PartlyStored
from undercroft.vectors.filters import Filter
from undercroft.vectors.stores.qdrant import words
from undercroft.vectors.stores.qdrant.conditions import condition
from undercroft.vectors.stores.qdrant.engine import Ask, Engine, Record
from undercroft.vectors.types import (
    Abilities,
    CollectionSpec,
    Hit,
    Metadata,
    Page,
    Point,
    Query,
    Stats,
    TextQuery,
    vector_of,
)

AT_ONCE: Final = 500
"""Points of one request: far below Qdrant's 32 MB."""
IDS: Final = UUID("6f0d6c0a-9d1c-5f43-9c0e-6a1f0b6c2d11")
"""Of which the points' keys are made: Qdrant takes numbers and UUIDs."""


class QdrantStore:
    """A VectorStore and a TextSearch. Filters are part of Qdrant's search."""

    name = "qdrant"
    abilities = Abilities(max_dimension=65_536, has_text_search=True, writes_whole=False)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, CollectionSpec] = {}

    @classmethod
    def connected(cls, url: str, *, api_key: str | None = None) -> "QdrantStore":
        """The store of a server or of Qdrant's cloud; nothing is sent yet."""
        from qdrant_client import AsyncQdrantClient

        from undercroft.vectors.stores.qdrant.server import TIMEOUT_S, ServerEngine

        client = AsyncQdrantClient(url=url, api_key=api_key, timeout=TIMEOUT_S, check_compatibility=False)
        return cls(ServerEngine(client))

    @classmethod
    def in_process(cls, folder: Path) -> "QdrantStore":
        """The store of Qdrant's engine in this process."""
        from undercroft.vectors.stores.qdrant.edge import EdgeEngine

        return cls(EdgeEngine(folder))

    async def create(self, spec: CollectionSpec) -> None:
        checks.check_spec(spec, self.abilities)
        there = {each.name: each for each in await self._engine.specs()}.get(spec.name)
        if there is not None:
            checks.check_same(there, spec)
            return
        await self._engine.create(spec)

    async def drop(self, collection: str) -> bool:
        self._known.pop(collection, None)
        return await self._engine.drop(collection)

    async def collections(self) -> list[CollectionSpec]:
        return await self._engine.specs()

    async def describe(self, collection: str) -> CollectionSpec:
        self._known.pop(collection, None)
        return await self._find(collection)

    async def upsert(self, collection: str, points: Sequence[Point], *, namespace: str = "") -> None:
        spec = await self._find(collection)
        checks.check_namespace(namespace)
        checks.check_points(spec, points, self.abilities)
        for start in range(0, len(points), AT_ONCE):
            some = [_stored(point, namespace) for point in points[start : start + AT_ONCE]]
            try:
                await self._engine.upsert(collection, some)
            except Unavailable as error:
                if not start:
                    raise
                raise PartlyStored(start, len(points)) from error

    async def get(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> list[Point]:
        await self._find(collection)
        checks.check_namespace(namespace)
        keys = [_key(namespace, one) for one in dict.fromkeys(ids)]
        found = {record.key: record for record in await self._engine.retrieve(collection, keys, with_vectors=True)}
        return [_point(found[key]) for key in keys if key in found]

    async def delete(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> int:
        await self._find(collection)
        checks.check_namespace(namespace)
        keys = [_key(namespace, one) for one in dict.fromkeys(ids)]
        there = await self._engine.retrieve(collection, keys, with_vectors=False)
        if there:
            await self._engine.delete(collection, {"must": [{"has_id": [record.key for record in there]}]})
        return len(there)

    async def delete_where(self, collection: str, where: Filter | None, *, namespace: str = "") -> int:
        number = await self.count(collection, where, namespace=namespace)
        if number:
            await self._engine.delete(collection, condition(where, namespace=namespace))
        return number

    async def search(self, collection: str, query: Query) -> list[Hit]:
        (hits,) = await self.search_many(collection, [query])
        return hits

    async def search_many(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
        spec = await self._find(collection)
        for query in queries:
            checks.check_query(spec, query)
        if not queries:
            return []
        sign = -1.0 if spec.metric == "euclidean" else 1.0
        answers = await self._engine.query(collection, [_ask(spec, query, sign) for query in queries])
        return [[_hit(record, sign * score) for score, record in answer] for answer in answers]

    async def search_text(self, collection: str, query: TextQuery) -> list[Hit]:
        checks.check_text_query(await self._find(collection), query)
        asked = words.of_query(query.text)
        if not asked.indices:
            return []
        ask = Ask(
            by=asked,
            condition=condition(query.where, namespace=query.namespace),
            limit=query.limit,
            with_vectors=query.with_vectors,
        )
        (answer,) = await self._engine.query(collection, [ask])
        return [_hit(record, score) for score, record in answer]

    async def count(self, collection: str, where: Filter | None = None, *, namespace: str = "") -> int:
        spec = await self._find(collection)
        checks.check_namespace(namespace)
        checks.check_filter(spec, where)
        return await self._engine.count(collection, condition(where, namespace=namespace))

    async def scroll(
        self,
        collection: str,
        *,
        where: Filter | None = None,
        namespace: str = "",
        after: str | None = None,
        limit: int = 1000,
    ) -> Page:
        spec = await self._find(collection)
        checks.check_namespace(namespace)
        checks.check_limit(limit)
        checks.check_filter(spec, where)
        if after is not None and not _is_key(after):
            raise InvalidQuery("That is not where a page ended.", param="after")
        chosen = condition(where, namespace=namespace)
        records, following = await self._engine.scroll(collection, chosen, after=after, limit=limit)
        return Page(points=[_point(record) for record in records], next=following)

    async def stats(self, collection: str) -> Stats:
        spec = await self._find(collection)
        kind = "exact" if spec.index.kind == "none" else "hnsw"
        return Stats(namespaces=await self._engine.namespaces(collection), index=kind)

    async def close(self) -> None:
        await self._engine.close()

    async def _find(self, collection: str) -> CollectionSpec:
        if collection not in self._known:
            self._known = {spec.name: spec for spec in await self._engine.specs()}
        if collection not in self._known:
            raise CollectionNotFound(collection)
        return self._known[collection]


def _ask(spec: CollectionSpec, query: Query, sign: float) -> Ask:
    return Ask(
        by=list(query.vector),
        condition=condition(query.where, namespace=query.namespace),
        limit=query.limit,
        threshold=None if query.threshold is None else sign * query.threshold,
        effort=query.effort or spec.effort,
        is_exact=query.is_exact or spec.index.kind == "none",
        with_vectors=query.with_vectors,
    )


def _key(namespace: str, id: str) -> str:
    return str(uuid5(IDS, f"{namespace}\n{id}"))


def _is_key(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _stored(point: Point, namespace: str) -> Record:
    payload: dict[str, Any] = {"id": point.id, "namespace": namespace, "metadata": _plain(point.metadata)}
    if point.text is not None:
        payload["text"] = point.text
    sparse = words.of_text(point.text) if point.text is not None else None
    return Record(_key(namespace, point.id), payload, list(point.vector), sparse)


def _plain(metadata: Metadata) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in metadata.items()}


def _metadata(record: Record) -> Metadata:
    kept: dict[str, Any] = record.payload.get("metadata") or {}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}


def _point(record: Record) -> Point:
    payload = record.payload
    vector = vector_of(record.dense or ())
    return Point(id=payload["id"], vector=vector, metadata=_metadata(record), text=payload.get("text"))


def _hit(record: Record, score: float) -> Hit:
    payload = record.payload
    vector = None if record.dense is None else vector_of(record.dense)
    return Hit(id=payload["id"], score=score, metadata=_metadata(record), text=payload.get("text"), vector=vector)
