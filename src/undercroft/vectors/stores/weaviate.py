"""A Weaviate server or Weaviate Cloud, from version 1.33 on (the first whose filters know "not")."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import weaviate
from weaviate.classes.config import ConsistencyLevel, DataType, Property
from weaviate.classes.data import DataObject
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.classes.query import BM25Operator, MetadataQuery
from weaviate.classes.query import Filter as Where
from weaviate.collections import CollectionAsync
from weaviate.collections.classes.filters import _Filters
from weaviate.connect import ConnectionParams
from weaviate.exceptions import WeaviateBaseError, WeaviateInsertManyAllFailedError

from undercroft.errors import Unavailable
from undercroft.vectors import checks, exact
from undercroft.vectors.errors import CollectionNotFound, PartlyStored
from undercroft.vectors.filters import Filter, leaves, matches
from undercroft.vectors.stores import weaviate_schema as schema
from undercroft.vectors.stores.terms import numbers_of, plan_of
from undercroft.vectors.types import Abilities, CollectionSpec, Hit, Page, Point, Query, Stats, TextQuery, Vector

GRPC_PORT: Final = 50051
MESSAGE_BYTES: Final = 4_000_000
"""About as much is sent at once; servers take 10 MB by default."""
IDS: Final = 1000
"""Ids of one request."""
DELETED: Final = 10_000
"""What one request of the server deletes at most, by default."""

Class = CollectionAsync[Mapping[str, Any], None]


@dataclass(slots=True)
class _Known:
    """What was learned of a collection, until a request about it fails."""

    spec: CollectionSpec
    numbers: set[str]
    tenants: set[str] = field(default_factory=set)


class WeaviateStore:
    """A VectorStore and a TextSearch. `grpc_port` is of the same host; Weaviate Cloud's has a host of its own."""

    name = "weaviate"
    abilities = Abilities(
        max_dimension=65_535,
        has_text_search=True,
        is_exact_on_demand=False,
        writes_whole=False,
    )

    def __init__(
        self, url: str, *, api_key: str | None = None, grpc_port: int = GRPC_PORT, timeout_s: float = 30.0
    ) -> None:
        self._url = url
        self._client = weaviate.WeaviateAsyncClient(
            connection_params=_connection(url, grpc_port),
            auth_client_secret=Auth.api_key(api_key) if api_key else None,
            additional_config=AdditionalConfig(timeout=Timeout(init=5, query=timeout_s, insert=2 * timeout_s)),
        )
        self._lock = asyncio.Lock()
        self._known: dict[str, _Known] = {}

    async def create(self, spec: CollectionSpec) -> None:
        checks.check_spec(spec, self.abilities)
        if (known := await self._look(spec.name)) is None:
            async with self._asking(spec.name) as client:
                await client.collections.create_from_dict(schema.schema_of(spec))
            known = await self._look(spec.name)
        if known is not None:
            checks.check_same(known.spec, spec)

    async def drop(self, collection: str) -> bool:
        if await self._look(collection) is None:
            return False
        self._known.pop(collection, None)
        async with self._asking() as client:
            await client.collections.delete(schema.class_of(collection))
        return True

    async def collections(self) -> list[CollectionSpec]:
        async with self._asking() as client:
            listed = await client.collections.list_all(simple=True)
        specs = [schema.spec_of(one.description) for name, one in listed.items() if schema.collection_of(name)]
        return sorted((spec for spec in specs if spec), key=lambda spec: spec.name)

    async def describe(self, collection: str) -> CollectionSpec:
        if (known := await self._look(collection)) is None:
            raise CollectionNotFound(collection)
        return known.spec

    async def upsert(self, collection: str, points: Sequence[Point], *, namespace: str = "") -> None:
        known = await self._learn(collection)
        checks.check_namespace(namespace)
        checks.check_points(known.spec, points, self.abilities)
        await self._declare(known, {name for point in points for name in numbers_of(point.metadata)})
        tenant = schema.tenant_of(namespace)
        size = max(1, MESSAGE_BYTES // (4 * known.spec.dimension + 2000))
        for start in range(0, len(points), size):
            sent = [
                DataObject(
                    properties=schema.properties_of(point), uuid=schema.uuid_of(point.id), vector=list(point.vector)
                )
                for point in points[start : start + size]
            ]
            async with self._asking(collection) as client:
                try:
                    answer = await _class(client, collection, tenant).data.insert_many(sent)
                    failed = min(answer.errors, default=None)
                except WeaviateInsertManyAllFailedError:
                    failed = 0
                if failed is not None:
                    raise PartlyStored(start + failed, len(points))
        known.tenants.add(tenant)

    async def get(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> list[Point]:
        tenant = await self._tenant(await self._learn(collection), namespace)
        found: dict[str, Point] = {}
        for start in range(0, len(ids) if tenant else 0, IDS):
            wanted = [schema.uuid_of(one) for one in ids[start : start + IDS]]
            async with self._asking(collection) as client:
                answer = await _class(client, collection, tenant).query.fetch_objects_by_ids(
                    wanted, limit=len(wanted), include_vector=True, return_properties=schema.ANSWERED
                )
            found.update((point.id, point) for point in map(_point, answer.objects))
        return [found[one] for one in ids if one in found]

    async def delete(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> int:
        tenant = await self._tenant(await self._learn(collection), namespace)
        deleted = 0
        for start in range(0, len(ids) if tenant else 0, IDS):
            wanted = [schema.uuid_of(one) for one in ids[start : start + IDS]]
            async with self._asking(collection) as client:
                answer = await _class(client, collection, tenant).data.delete_many(
                    where=Where.by_id().contains_any(wanted)
                )
            deleted += _deleted(answer)
        return deleted

    async def delete_where(self, collection: str, where: Filter | None, *, namespace: str = "") -> int:
        known = await self._learn(collection)
        checks.check_filter(known.spec, where)
        tenant = await self._tenant(known, namespace)
        meant = await self._filter(known, where)
        if tenant is None or meant is False:
            return 0
        if meant is True:
            number = await self.count(collection, namespace=namespace)
            known.tenants.discard(tenant)
            async with self._asking(collection) as client:
                await _class(client, collection, None).tenants.remove([tenant])
            return number
        deleted = 0
        while True:
            async with self._asking(collection) as client:
                answer = await _class(client, collection, tenant).data.delete_many(where=meant)
            deleted += _deleted(answer)
            if answer.matches < DELETED:
                return deleted

    async def search(self, collection: str, query: Query) -> list[Hit]:
        known = await self._learn(collection)
        checks.check_query(known.spec, query)
        tenant = await self._tenant(known, query.namespace)
        meant = await self._filter(known, query.where)
        if tenant is None or meant is False:
            return []
        async with self._asking(collection) as client:
            answer = await _class(client, collection, tenant).query.near_vector(
                list(query.vector),
                limit=query.limit,
                filters=None if meant is True else meant,
                include_vector=query.with_vectors,
                return_metadata=MetadataQuery(distance=True),
                return_properties=schema.ANSWERED,
            )
        if len(answer.objects) < query.limit and await self.count(
            collection, query.where, namespace=query.namespace
        ) > len(answer.objects):
            # The graph was searched to its end and left some out that fit: all that fit are compared.
            return exact.nearest(known.spec.metric, query, await self._all(collection, query))
        scored = [(schema.score_of(known.spec.metric, one.metadata.distance or 0.0), one) for one in answer.objects]
        return [
            _hit(one, near, with_vector=query.with_vectors)
            for near, one in scored
            if query.threshold is None or near >= query.threshold
        ]

    async def search_many(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
        spec = await self.describe(collection)
        for query in queries:
            checks.check_query(spec, query)
        return await asyncio.gather(*(self.search(collection, query) for query in queries))

    async def search_text(self, collection: str, query: TextQuery) -> list[Hit]:
        known = await self._learn(collection)
        checks.check_text_query(known.spec, query)
        tenant = await self._tenant(known, query.namespace)
        meant = await self._filter(known, query.where)
        if tenant is None or meant is False:
            return []
        async with self._asking(collection) as client:
            answer = await _class(client, collection, tenant).query.bm25(
                query.text,
                query_properties=["text"],
                operator=BM25Operator.or_(minimum_match=1),
                limit=query.limit,
                filters=None if meant is True else meant,
                include_vector=query.with_vectors,
                return_metadata=MetadataQuery(score=True),
                return_properties=schema.ANSWERED,
            )
        return [_hit(one, one.metadata.score or 0.0, with_vector=query.with_vectors) for one in answer.objects]

    async def count(self, collection: str, where: Filter | None = None, *, namespace: str = "") -> int:
        known = await self._learn(collection)
        checks.check_filter(known.spec, where)
        tenant = await self._tenant(known, namespace)
        meant = await self._filter(known, where)
        if tenant is None or meant is False:
            return 0
        async with self._asking(collection) as client:
            counted = await _class(client, collection, tenant).aggregate.over_all(
                filters=None if meant is True else meant, total_count=True
            )
        return counted.total_count or 0

    async def scroll(
        self,
        collection: str,
        *,
        where: Filter | None = None,
        namespace: str = "",
        after: str | None = None,
        limit: int = 1000,
    ) -> Page:
        known = await self._learn(collection)
        checks.check_limit(limit)
        checks.check_filter(known.spec, where)
        if (tenant := await self._tenant(known, namespace)) is None:
            return Page(points=[], next=None)
        found: list[Point] = []
        while True:
            # Weaviate's cursor goes through all objects and takes no filter: what does not fit is left out here.
            async with self._asking(collection) as client:
                answer = await _class(client, collection, tenant).query.fetch_objects(
                    limit=limit - len(found), after=after, include_vector=True, return_properties=schema.ANSWERED
                )
            if not answer.objects:
                return Page(points=found, next=None)
            after = str(answer.objects[-1].uuid)
            found += [point for point in map(_point, answer.objects) if matches(where, point.metadata)]
            if len(found) >= limit:
                return Page(points=found, next=after)

    async def stats(self, collection: str) -> Stats:
        known = await self._learn(collection)
        async with self._asking(collection) as client:
            tenants = await _class(client, collection, None).tenants.get()
        known.tenants = set(tenants)
        spaces = [schema.namespace_of(tenant) for tenant in sorted(tenants)]
        counts = [(space, await self.count(collection, namespace=space)) for space in spaces]
        return Stats(namespaces=dict(pair for pair in counts if pair[1]), index=known.spec.index.kind)

    async def close(self) -> None:
        await self._client.close()

    async def _all(self, collection: str, query: Query) -> list[Point]:
        points: list[Point] = []
        after = None
        while True:
            page = await self.scroll(collection, where=query.where, namespace=query.namespace, after=after)
            points += page.points
            if (after := page.next) is None:
                return points

    async def _learn(self, collection: str) -> _Known:
        if (known := self._known.get(collection) or await self._look(collection)) is None:
            raise CollectionNotFound(collection)
        return known

    async def _look(self, collection: str) -> _Known | None:
        async with self._asking() as client:
            name = schema.class_of(collection)
            if not await client.collections.exists(name):
                self._known.pop(collection, None)
                return None
            config = await client.collections.use(name).config.get(simple=True)
        if (spec := schema.spec_of(config.description)) is None:
            return None
        known = self._known.setdefault(collection, _Known(spec, set()))
        known.numbers.update(one.name for one in config.properties if one.data_type == DataType.NUMBER)
        return known

    async def _declare(self, known: _Known, fields: set[str]) -> None:
        """Numbers are compared only where the class has a property for them."""
        missing = [one for one in fields if schema.number_property(one) not in known.numbers]
        for one in sorted(missing):
            name = schema.number_property(one)
            async with self._lock:
                await self._look(known.spec.name)
                if name in known.numbers:
                    continue
                async with self._asking(known.spec.name) as client:
                    await _class(client, known.spec.name, None).config.add_property(
                        Property(name=name, data_type=DataType.NUMBER, index_filterable=True, index_range_filters=True)
                    )
                known.numbers.add(name)

    async def _tenant(self, known: _Known, namespace: str) -> str | None:
        """The namespace's tenant; None where nothing was ever written to it."""
        checks.check_namespace(namespace)
        tenant = schema.tenant_of(namespace)
        if tenant not in known.tenants:
            async with self._asking(known.spec.name) as client:
                if await _class(client, known.spec.name, None).tenants.get_by_name(tenant) is None:
                    return None
            known.tenants.add(tenant)
        return tenant

    async def _filter(self, known: _Known, where: Filter | None) -> "_Filters | bool":
        asked = {schema.number_property(one.field) for one in leaves(where)}
        if not asked <= known.numbers:
            await self._look(known.spec.name)
        return schema.filter_of(plan_of(where), frozenset(known.numbers))

    @asynccontextmanager
    async def _asking(self, collection: str | None = None) -> AsyncIterator[weaviate.WeaviateAsyncClient]:
        """The connected client. Whatever it raises inside is CollectionNotFound or Unavailable outside."""
        try:
            if not self._client.is_connected():
                async with self._lock:
                    await self._client.connect()
            yield self._client
        except WeaviateBaseError as error:
            was_known = collection is not None and self._known.pop(collection, None) is not None
            if collection is not None and was_known and await self._look(collection) is None:
                raise CollectionNotFound(collection) from error
            raise Unavailable(
                f"Weaviate at {self._url} did not do as asked: {' '.join(error.message.split())[:300]}",
                hint="Check [vectors] weaviate_url and weaviate_api_key, and the server's log.",
                retry_after_s=5,
            ) from error


def _connection(url: str, grpc_port: int) -> ConnectionParams:
    parts = urlsplit(url)
    is_secure, host = parts.scheme == "https", parts.hostname or ""
    is_cloud = host.endswith(".weaviate.cloud")
    return ConnectionParams.from_params(
        http_host=host,
        http_port=parts.port or (443 if is_secure else 80),
        http_secure=is_secure,
        grpc_host=f"grpc-{host}" if is_cloud else host,
        grpc_port=443 if is_cloud else grpc_port,
        grpc_secure=is_secure,
    )


def _class(client: weaviate.WeaviateAsyncClient, collection: str, tenant: str | None) -> Class:
    used = client.collections.use(schema.class_of(collection))
    consistent = used.with_consistency_level(ConsistencyLevel.QUORUM)
    return consistent.with_tenant(tenant) if tenant else consistent


def _deleted(answer: Any) -> int:
    """Raises Unavailable when some were found and could not be deleted."""
    if answer.failed:
        raise Unavailable(f"Weaviate could not delete {answer.failed} of {answer.matches} points.", retry_after_s=5)
    return int(answer.successful)


def _vector(found: Any) -> "Vector[float]":
    held = found.vector
    return array("f", held["default"] if isinstance(held, dict) else held)


def _point(found: Any) -> Point:
    return schema.point_of(found.properties, _vector(found))


def _hit(found: Any, score: float, *, with_vector: bool) -> Hit:
    vector = _vector(found) if with_vector else None
    point = schema.point_of(found.properties, vector or array("f"))
    return Hit(id=point.id, score=score, metadata=point.metadata, text=point.text, vector=vector)
