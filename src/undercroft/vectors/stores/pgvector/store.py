"""The pgvector store: collections as tables of a PostgreSQL database, ours or another."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from undercroft.storage.engine import Database
from undercroft.vectors import checks
from undercroft.vectors.errors import CollectionNotFound, InvalidQuery
from undercroft.vectors.filters import Filter
from undercroft.vectors.stores.pgvector import statements
from undercroft.vectors.stores.pgvector.conditions import Condition, condition
from undercroft.vectors.stores.pgvector.statements import Located
from undercroft.vectors.types import Abilities, CollectionSpec, Hit, Page, Point, Query, Stats, TextQuery

T = TypeVar("T")
Statements = Callable[[Connection, Located], T]

NO_TABLE: Final = "42P01"
WORDS: Final = 64


class PgVectorStore:
    """A VectorStore and a TextSearch. Filters are part of the index scan, which goes on until enough fit."""

    name = "pgvector"
    abilities = Abilities(max_dimension=16_000, has_text_search=True)

    def __init__(self, database: Database, *, owns_database: bool = False) -> None:
        """`owns_database`: closed with the store."""
        self._database = database
        self._owns_database = owns_database
        self._known: Mapping[str, Located] = {}

    async def create(self, spec: CollectionSpec) -> None:
        checks.check_spec(spec, self.abilities)
        there = await self._database.write(lambda connection: statements.create(connection, spec))
        if there is not None:
            checks.check_same(there.spec, spec)

    async def drop(self, collection: str) -> bool:
        return await self._database.write(lambda connection: statements.drop(connection, collection))

    async def collections(self) -> list[CollectionSpec]:
        return [located.spec for located in await self._database.read(statements.all_located)]

    async def describe(self, collection: str) -> CollectionSpec:
        self._known = {}
        return (await self._find(collection)).spec

    async def upsert(self, collection: str, points: Sequence[Point], *, namespace: str = "") -> None:
        located = await self._find(collection)
        checks.check_namespace(namespace)
        checks.check_points(located.spec, points, self.abilities)
        if points:
            await self._write(collection, partial(statements.upsert, namespace=namespace, points=points))

    async def get(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> list[Point]:
        checks.check_namespace(namespace)
        return await self._read(collection, partial(statements.get, namespace=namespace, ids=ids))

    async def delete(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> int:
        checks.check_namespace(namespace)
        where: Condition = ("id = ANY(%s)", [list(ids)])
        return await self._write(collection, partial(statements.delete, namespace=namespace, where=where))

    async def delete_where(self, collection: str, where: Filter | None, *, namespace: str = "") -> int:
        chosen = await self._chosen(collection, where, namespace)
        return await self._write(collection, partial(statements.delete, namespace=namespace, where=chosen))

    async def search(self, collection: str, query: Query) -> list[Hit]:
        (hits,) = await self.search_many(collection, [query])
        return hits

    async def search_many(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
        located = await self._find(collection)
        for query in queries:
            checks.check_query(located.spec, query)

        def work(connection: Connection, located: Located) -> list[list[Hit]]:
            return [statements.search(connection, located, query, condition(query.where)) for query in queries]

        answers = await self._read(collection, work)
        return [_above(query.threshold, hits) for query, hits in zip(queries, answers, strict=True)]

    async def search_text(self, collection: str, query: TextQuery) -> list[Hit]:
        located = await self._find(collection)
        checks.check_text_query(located.spec, query)
        words = list(dict.fromkeys(re.findall(r"\w+", query.text.lower())))[:WORDS]
        if not words:
            return []
        chosen = condition(query.where)
        return await self._read(collection, partial(statements.search_text, query=query, words=words, where=chosen))

    async def count(self, collection: str, where: Filter | None = None, *, namespace: str = "") -> int:
        chosen = await self._chosen(collection, where, namespace)
        return await self._read(collection, partial(statements.count, namespace=namespace, where=chosen))

    async def scroll(
        self,
        collection: str,
        *,
        where: Filter | None = None,
        namespace: str = "",
        after: str | None = None,
        limit: int = 1000,
    ) -> Page:
        checks.check_limit(limit)
        chosen = await self._chosen(collection, where, namespace)
        if after is not None and not (after.isascii() and after.isdigit()):
            raise InvalidQuery("That is not where a page ended.", param="after")
        asked = partial(statements.page, namespace=namespace, where=chosen, after=int(after or 0), limit=limit + 1)
        rows = await self._read(collection, asked)
        return Page(
            points=[point for _, point in rows[:limit]], next=str(rows[limit - 1][0]) if len(rows) > limit else None
        )

    async def stats(self, collection: str) -> Stats:
        located = await self._find(collection)
        kind = located.spec.index.kind if located.half else "none"
        return Stats(
            namespaces=await self._read(collection, statements.namespaces),
            disk_bytes=await self._read(collection, statements.size_bytes),
            index=f"{kind} over {located.half}" if located.half else "exact",
        )

    async def close(self) -> None:
        if self._owns_database:
            self._database.close()

    async def _chosen(self, collection: str, where: Filter | None, namespace: str) -> Condition:
        located = await self._find(collection)
        checks.check_namespace(namespace)
        checks.check_filter(located.spec, where)
        return condition(where)

    async def _find(self, collection: str) -> Located:
        if collection not in self._known:
            found = await self._database.read(statements.all_located)
            self._known = {located.spec.name: located for located in found}
        if collection not in self._known:
            raise CollectionNotFound(collection)
        return self._known[collection]

    async def _read(self, collection: str, work: Statements[T]) -> T:
        return await self._run(self._database.read, collection, work)

    async def _write(self, collection: str, work: Statements[T]) -> T:
        return await self._run(self._database.write, collection, work)

    async def _run(
        self, run: Callable[[Callable[[Connection], T]], Awaitable[T]], collection: str, work: Statements[T]
    ) -> T:
        """Runs `work`; once more when the collection was dropped, and perhaps made again, by somebody else."""
        for is_last in (False, True):
            located = await self._find(collection)
            try:
                return await run(partial(_with, work, located))
            except DBAPIError as error:
                if is_last or getattr(error.orig, "sqlstate", None) != NO_TABLE:
                    raise
                self._known = {}
        raise CollectionNotFound(collection)


def _with(work: Statements[T], located: Located, connection: Connection) -> T:
    return work(connection, located)


def _above(threshold: float | None, hits: list[Hit]) -> list[Hit]:
    return hits if threshold is None else [hit for hit in hits if hit.score >= threshold]
