"""A Qdrant server or cloud, through Qdrant's own client."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from undercroft.errors import Unavailable
from undercroft.vectors.errors import CollectionNotFound
from undercroft.vectors.stores.qdrant.conditions import Json
from undercroft.vectors.stores.qdrant.engine import DENSE, WORDS, Ask, Record, Sparse
from undercroft.vectors.types import CollectionSpec

T = TypeVar("T")

MARK: Final = "undercroft"
"""Of a collection's own metadata, what says that it is ours, and how it was made."""
TIMEOUT_S: Final = 60
DISTANCES: Final = {
    "cosine": models.Distance.COSINE,
    "dot": models.Distance.DOT,
    "euclidean": models.Distance.EUCLID,
}
SCHEMAS: Final = {
    "text": models.PayloadSchemaType.KEYWORD,
    "texts": models.PayloadSchemaType.KEYWORD,
    "number": models.PayloadSchemaType.FLOAT,
    "boolean": models.PayloadSchemaType.BOOL,
}


class ServerEngine:
    """Translates; decides nothing."""

    def __init__(self, client: AsyncQdrantClient) -> None:
        self._client = client

    async def specs(self) -> list[CollectionSpec]:
        names = [each.name for each in (await self._done(self._client.get_collections())).collections]
        found = await asyncio.gather(*(self._spec(name) for name in sorted(names)))
        return [spec for spec in found if spec is not None]

    async def create(self, spec: CollectionSpec) -> None:
        index = spec.index
        config = models.HnswConfigDiff(m=index.connectivity, ef_construct=index.build_effort)
        await self._done(
            self._client.create_collection(
                spec.name,
                vectors_config={DENSE: models.VectorParams(size=spec.dimension, distance=DISTANCES[spec.metric])},
                sparse_vectors_config={WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                hnsw_config=models.HnswConfigDiff(m=0) if index.kind == "none" else config,
                metadata={MARK: msgspec.to_builtins(spec)},
            )
        )
        keyword: Any = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
        await self._index(spec.name, "namespace", keyword)
        for field, kind in spec.fields.items():
            await self._index(spec.name, f'metadata."{field}"', SCHEMAS[kind])

    async def drop(self, name: str) -> bool:
        if await self._spec(name) is None:
            return False
        return await self._done(self._client.delete_collection(name))

    async def upsert(self, name: str, records: Sequence[Record]) -> None:
        points = []
        for record in records:
            vector: Any = {DENSE: record.dense}
            if record.words is not None:
                vector[WORDS] = models.SparseVector(indices=record.words.indices, values=record.words.values)
            points.append(models.PointStruct(id=record.key, vector=vector, payload=dict(record.payload)))
        await self._done(self._client.upsert(name, points, wait=True), name)

    async def delete(self, name: str, condition: Json) -> None:
        selector = models.FilterSelector(filter=_filter(condition))
        await self._done(self._client.delete(name, selector, wait=True), name)

    async def retrieve(self, name: str, keys: Sequence[str], *, with_vectors: bool) -> list[Record]:
        found = await self._done(self._client.retrieve(name, list(keys), with_vectors=_wanted(with_vectors)), name)
        return [_record(each) for each in found]

    async def query(self, name: str, asks: Sequence[Ask]) -> list[list[tuple[float, Record]]]:
        requests = [
            models.QueryRequest(
                query=_vector(ask.by),
                using=WORDS if isinstance(ask.by, Sparse) else DENSE,
                filter=_filter(ask.condition),
                limit=ask.limit,
                score_threshold=ask.threshold,
                params=models.SearchParams(hnsw_ef=ask.effort, exact=ask.is_exact),
                with_payload=True,
                with_vector=_wanted(ask.with_vectors),
            )
            for ask in asks
        ]
        answers = await self._done(self._client.query_batch_points(name, requests), name)
        return [[(point.score, _record(point)) for point in answer.points] for answer in answers]

    async def scroll(
        self, name: str, condition: Json, *, after: str | None, limit: int
    ) -> tuple[list[Record], str | None]:
        asked = self._client.scroll(name, _filter(condition), limit=limit, offset=after, with_vectors=[DENSE])
        found, following = await self._done(asked, name)
        return [_record(each) for each in found], None if following is None else str(following)

    async def count(self, name: str, condition: Json) -> int:
        return (await self._done(self._client.count(name, _filter(condition), exact=True), name)).count

    async def namespaces(self, name: str) -> dict[str, int]:
        found = await self._done(self._client.facet(name, "namespace", limit=10_000, exact=True), name)
        return {str(hit.value): hit.count for hit in found.hits}

    async def close(self) -> None:
        await self._client.close()

    async def _index(self, name: str, field: str, schema: Any) -> None:
        await self._done(self._client.create_payload_index(name, field, schema, wait=True), name)

    async def _spec(self, name: str) -> CollectionSpec | None:
        """How a collection of ours was made; None for others', and for one that is gone."""
        try:
            described = await self._done(self._client.get_collection(name), name)
        except CollectionNotFound:
            return None
        kept = (described.config.metadata or {}).get(MARK)
        return None if kept is None else msgspec.convert(kept, CollectionSpec)

    async def _done(self, asked: Awaitable[T], name: str = "") -> T:
        try:
            return await asked
        except UnexpectedResponse as error:
            if error.status_code == 404 and name:
                raise CollectionNotFound(name) from error
            if error.status_code in (401, 403):
                raise Unavailable("Qdrant refuses our key.", hint="Look at QDRANT_API_KEY.") from error
            raise Unavailable(f"Qdrant answered {error.status_code} {error.reason_phrase}.", retry_after_s=5) from error
        except ResponseHandlingException as error:
            raise Unavailable("Qdrant cannot be reached.", hint="Look at QDRANT_URL.", retry_after_s=5) from error


def _filter(condition: Json) -> models.Filter:
    return models.Filter.model_validate(condition)


def _vector(by: list[float] | Sparse) -> Any:
    return models.SparseVector(indices=by.indices, values=by.values) if isinstance(by, Sparse) else by


def _wanted(with_vectors: bool) -> Any:
    return [DENSE] if with_vectors else False


def _record(found: Any) -> Record:
    vector = found.vector
    return Record(str(found.id), found.payload or {}, vector.get(DENSE) if isinstance(vector, dict) else None)
