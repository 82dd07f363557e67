"""Pinecone, the service. A collection is a serverless index of its own."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from pinecone import AsyncIndex, AsyncPinecone
from pinecone.errors.exceptions import ConflictError, NotFoundError, PineconeError

from undercroft.errors import Unavailable
from undercroft.vectors import checks
from undercroft.vectors.errors import CollectionNotFound, InvalidCollection, PartlyStored
from undercroft.vectors.filters import Filter
from undercroft.vectors.stores import pinecone_records as records
from undercroft.vectors.stores.terms import Plan, plan_of
from undercroft.vectors.types import Abilities, CollectionSpec, Hit, Page, Point, Query, Stats

PREFIX: Final = "undercroft-"
NAME: Final = re.compile("[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
NAME_CHARACTERS: Final = 45
PAGE: Final = 100
"""Records of one answer: with the most metadata there can be, about what Pinecone sends at once."""
REQUEST_BYTES: Final = 1_500_000
"""About as much is sent at once; Pinecone takes 2 MB."""
REQUEST_RECORDS: Final = 1000
SEARCHES: Final = 16
"""Searches of one batch that are under way at once."""
READY_S: Final = 120
SPEC_ID: Final = "spec"


@dataclass(frozen=True, slots=True)
class _Opened:
    index: AsyncIndex
    spec: CollectionSpec


class PineconeStore:
    """A VectorStore. Reads show a write after a while, as Pinecone promises no more; filters that fit enough points
    bring as many as were asked for by Pinecone's own promise. `host` is the control plane's, where it is not
    Pinecone's own."""

    name = "pinecone"
    abilities = Abilities(
        max_dimension=20_000,
        metadata_bytes=16_384,
        text_bytes=30_000,
        is_exact_on_demand=False,
        is_consistent=False,
        writes_whole=False,
    )

    def __init__(self, api_key: str, *, cloud: str = "aws", region: str = "us-east-1", host: str | None = None) -> None:
        self._client = AsyncPinecone(api_key=api_key, host=host)
        self._deployment = {"deployment_type": "managed", "cloud": cloud, "region": region}
        self._opened: dict[str, _Opened] = {}

    async def create(self, spec: CollectionSpec) -> None:
        checks.check_spec(spec, self.abilities)
        name = _index_name(spec.name)
        if name is None:
            raise InvalidCollection(
                f"{spec.name!r} cannot be a collection in Pinecone.",
                param="name",
                hint=f"It takes 1 to {NAME_CHARACTERS - len(PREFIX)} of a-z, 0-9 and -.",
            )
        if (there := await self._look(spec.name)) is None:
            with self._asking():
                try:
                    await self._client.indexes.create(
                        name=name,
                        dimension=spec.dimension,
                        metric=records.METRICS[spec.metric],
                        deployment=self._deployment,
                        timeout=READY_S,
                    )
                except ConflictError:
                    pass  # Another process makes it at the same time: what it makes is compared below.
                else:
                    await self._write_spec(name, spec)
            there = await self._readable(spec.name)
        checks.check_same(there.spec, spec)

    async def drop(self, collection: str) -> bool:
        opened = await self._look(collection)
        if opened is None:
            return False
        del self._opened[collection]
        with self._asking():
            await opened.index.close()
            await self._client.indexes.delete(PREFIX + collection)
        return True

    async def collections(self) -> list[CollectionSpec]:
        with self._asking():
            names = [one.name async for one in self._client.indexes.list()]
        ours = [name.removeprefix(PREFIX) for name in sorted(names) if name.startswith(PREFIX)]
        looked = [await self._look(name) for name in ours]
        return [opened.spec for opened in looked if opened is not None]

    async def describe(self, collection: str) -> CollectionSpec:
        return (await self._open(collection)).spec

    async def upsert(self, collection: str, points: Sequence[Point], *, namespace: str = "") -> None:
        opened = await self._open(collection)
        checks.check_namespace(namespace)
        checks.check_points(opened.spec, points, self.abilities)
        stored = 0
        for request in _requests(records.records_of(points)):
            try:
                with self._asking(collection):
                    await opened.index.upsert(
                        vectors=request, namespace=records.space_of(namespace), show_progress=False
                    )
            except Unavailable as error:
                if not stored:
                    raise
                raise PartlyStored(stored, len(points)) from error
            stored += len(request)

    async def get(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> list[Point]:
        opened = await self._open(collection)
        checks.check_namespace(namespace)
        found = await self._fetched(collection, opened, [records.key_of(one) for one in ids], namespace)
        return [found[key] for key in map(records.key_of, ids) if key in found]

    async def delete(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> int:
        opened = await self._open(collection)
        there = await self.get(collection, ids, namespace=namespace)
        # All that were named, not only those that can be seen yet.
        for some in _parts([records.key_of(one) for one in ids], REQUEST_RECORDS):
            await self._remove(collection, opened, namespace, ids=some)
        return len(there)

    async def delete_where(self, collection: str, where: Filter | None, *, namespace: str = "") -> int:
        opened = await self._open(collection)
        plan = plan_of(where)
        if plan is False:
            return 0
        number = await self.count(collection, where, namespace=namespace)
        meant = {"delete_all": True} if plan is True else {"filter": records.filter_of(plan)}
        await self._remove(collection, opened, namespace, **meant)
        return number

    async def search(self, collection: str, query: Query) -> list[Hit]:
        opened = await self._open(collection)
        checks.check_query(opened.spec, query)
        plan = plan_of(query.where)
        if plan is False:
            return []
        # Pinecone's answers have 4 MB at most: larger ones are ids, and the rest is fetched in pages.
        is_whole = query.limit <= PAGE and not query.with_vectors
        with self._asking(collection):
            answer = await opened.index.query(
                top_k=query.limit,
                vector=list(query.vector),
                namespace=records.space_of(query.namespace),
                filter=None if plan is True else records.filter_of(plan),
                include_metadata=is_whole,
            )
        scored = [(records.score_of(opened.spec.metric, one.score), one) for one in answer.matches]
        if query.threshold is not None:
            scored = [pair for pair in scored if pair[0] >= query.threshold]
        if is_whole:
            points = {one.id: records.point_of(one.id, (), one.metadata or {}) for _, one in scored}
        else:
            points = await self._fetched(collection, opened, [one.id for _, one in scored], query.namespace)
        return [
            _hit(points[one.id], score, with_vector=query.with_vectors) for score, one in scored if one.id in points
        ]

    async def search_many(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
        spec = await self.describe(collection)
        for query in queries:
            checks.check_query(spec, query)
        turns = asyncio.Semaphore(SEARCHES)

        async def answered(query: Query) -> list[Hit]:
            async with turns:
                return await self.search(collection, query)

        return await asyncio.gather(*map(answered, queries))

    async def count(self, collection: str, where: Filter | None = None, *, namespace: str = "") -> int:
        opened = await self._open(collection)
        checks.check_namespace(namespace)
        checks.check_filter(opened.spec, where)
        plan = plan_of(where)
        if plan is True:
            return (await self.stats(collection)).namespaces.get(namespace, 0)
        # Pinecone counts no filtered records: they are all fetched.
        return sum([len(points) async for points, _ in self._chosen(collection, plan, namespace, None, PAGE)])

    async def scroll(
        self,
        collection: str,
        *,
        where: Filter | None = None,
        namespace: str = "",
        after: str | None = None,
        limit: int = 1000,
    ) -> Page:
        opened = await self._open(collection)
        checks.check_limit(limit)
        checks.check_namespace(namespace)
        checks.check_filter(opened.spec, where)
        found: list[Point] = []
        while True:
            pages = self._chosen(collection, plan_of(where), namespace, after, min(PAGE, limit - len(found)))
            async for points, following in pages:
                found += points
                after = following
                break
            else:
                after = None
            if after is None or len(found) >= limit:
                return Page(points=found, next=after)

    async def stats(self, collection: str) -> Stats:
        opened = await self._open(collection)
        with self._asking(collection):
            told = await opened.index.describe_index_stats()
        counts = {
            records.namespace_of(space): summary.vector_count
            for space, summary in told.namespaces.items()
            if space != records.SPEC_SPACE and summary.vector_count
        }
        return Stats(namespaces=counts, index="serverless")

    async def close(self) -> None:
        for opened in self._opened.values():
            await opened.index.close()
        self._opened.clear()
        await self._client.close()

    async def _chosen(
        self, collection: str, plan: Plan, namespace: str, after: str | None, size: int
    ) -> AsyncIterator[tuple[list[Point], str | None]]:
        """Pages of the records that are meant, each with what the next begins with."""
        opened = await self._open(collection)
        space = records.space_of(namespace)
        while plan is not False:
            if plan is True:
                with self._asking(collection):
                    listed = await opened.index.list_paginated(namespace=space, limit=size, pagination_token=after)
                keys = [one.id for one in listed.vectors if one.id is not None]
                points = list((await self._fetched(collection, opened, keys, namespace)).values())
                after = listed.pagination.next if listed.pagination else None
            else:
                with self._asking(collection):
                    answer = await opened.index.fetch_by_metadata(
                        filter=records.filter_of(plan), namespace=space, limit=size, pagination_token=after
                    )
                points = [_point(one) for one in answer.vectors.values()]
                after = answer.pagination.next if answer.pagination else None
            yield points, after or None
            if not after:
                return

    async def _fetched(self, collection: str, opened: _Opened, keys: Sequence[str], namespace: str) -> dict[str, Point]:
        found: dict[str, Point] = {}
        for some in _parts(list(dict.fromkeys(keys)), PAGE):
            with self._asking(collection):
                answer = await opened.index.fetch(ids=some, namespace=records.space_of(namespace))
            found |= {key: _point(answer.vectors[key]) for key in some if key in answer.vectors}
        return found

    async def _remove(self, collection: str, opened: _Opened, namespace: str, **meant: Any) -> None:
        try:
            with self._asking():
                await opened.index.delete(namespace=records.space_of(namespace), **meant)
        except NotFoundError:
            # Of the index, or only of a namespace that nothing was ever written to.
            if await self._look(collection) is None:
                raise CollectionNotFound(collection) from None

    async def _open(self, collection: str) -> _Opened:
        if (opened := self._opened.get(collection) or await self._look(collection)) is None:
            raise CollectionNotFound(collection)
        return opened

    async def _look(self, collection: str) -> _Opened | None:
        """The collection as Pinecone has it now; None where it has none, or one that was not made here."""
        former = self._opened.pop(collection, None)
        if former is not None:
            await former.index.close()
        if (name := _index_name(collection)) is None:
            return None
        with self._asking():
            try:
                index = await self._client.index(name)
                answer = await index.fetch(ids=[SPEC_ID], namespace=records.SPEC_SPACE)
            except NotFoundError:
                return None
        if (kept := answer.vectors.get(SPEC_ID)) is None or kept.metadata is None:
            await index.close()
            return None
        spec = msgspec.json.decode(kept.metadata["spec"], type=CollectionSpec)
        return self._opened.setdefault(collection, _Opened(index, spec))

    async def _write_spec(self, name: str, spec: CollectionSpec) -> None:
        values = [1.0] + [0.0] * (spec.dimension - 1)
        kept = {"id": SPEC_ID, "values": values, "metadata": {"spec": msgspec.json.encode(spec).decode()}}
        index = await self._client.index(name)
        async with index:
            await index.upsert(vectors=[kept], namespace=records.SPEC_SPACE, show_progress=False)

    async def _readable(self, collection: str) -> _Opened:
        """Waits until what was written of a new collection can be read."""
        for _ in range(READY_S * 5):
            if (opened := await self._look(collection)) is not None:
                return opened
            await asyncio.sleep(0.2)
        raise Unavailable(
            f"Pinecone made {PREFIX}{collection}, and it cannot be read after {READY_S} s.", retry_after_s=30
        )

    @contextmanager
    def _asking(self, collection: str | None = None) -> Iterator[None]:
        """What Pinecone's client raises inside is Unavailable outside, and with a collection CollectionNotFound; where
        none is given, NotFoundError passes."""
        try:
            yield
        except NotFoundError as error:
            if collection is None:
                raise
            self._opened.pop(collection, None)
            raise CollectionNotFound(collection) from error
        except PineconeError as error:
            raise Unavailable(
                f"Pinecone did not do as asked: {' '.join(str(error).split())[:300]}",
                hint="Check [vectors] pinecone_api_key and Pinecone's status page.",
                retry_after_s=5,
            ) from error


def _index_name(collection: str) -> str | None:
    """The index's name; None for a collection that Pinecone cannot have."""
    name = PREFIX + collection
    return name if NAME.fullmatch(name) and len(name) <= NAME_CHARACTERS else None


def _parts(keys: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _requests(made: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    request: list[dict[str, Any]] = []
    size = 0
    for record in made:
        own = 12 * len(record["values"]) + len(msgspec.json.encode(record["metadata"]))
        if request and (size + own > REQUEST_BYTES or len(request) == REQUEST_RECORDS):
            yield request
            request, size = [], 0
        request.append(record)
        size += own
    if request:
        yield request


def _point(found: Any) -> Point:
    return records.point_of(found.id, found.values, found.metadata)


def _hit(point: Point, score: float, *, with_vector: bool) -> Hit:
    vector = point.vector if with_vector else None
    return Hit(id=point.id, score=score, metadata=point.metadata, text=point.text, vector=vector)
