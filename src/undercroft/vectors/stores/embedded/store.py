"""The default vector store: a file in the data directory, searched in this process."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from undercroft.clock import Clock
from undercroft.storage.table_file import TableFile
from undercroft.vectors import checks
from undercroft.vectors.errors import CollectionNotFound, InvalidQuery
from undercroft.vectors.filters import Filter
from undercroft.vectors.stores.embedded import snapshot, truth
from undercroft.vectors.stores.embedded.finding import prepare
from undercroft.vectors.stores.embedded.resident import View
from undercroft.vectors.stores.embedded.shelf import Shelf
from undercroft.vectors.stores.embedded.words import Sought, Words, open_words
from undercroft.vectors.types import Abilities, CollectionSpec, Hit, Page, Point, Query, Stats, TextQuery, Vector

T = TypeVar("T")

FILE: Final = "vectors.db"
FOLDER: Final = "vectors"
"""Beside the file: everything that is derived from it, and may be deleted while nobody runs."""
CHECKED_INLINE: Final = 32
"""Points that are checked on the event loop."""


class EmbeddedStore:
    """A VectorStore and a TextSearch. Several processes may have the same folder open."""

    name = "embedded"
    abilities = Abilities(max_dimension=8192, has_text_search=True)

    def __init__(
        self, data_dir: Path, *, clock: Clock, is_durable: bool = False, threads: int = 2, keeps_up: bool = True
    ) -> None:
        """`keeps_up=False` derives nothing that takes long: for programs that are over in a moment."""
        self._folder = data_dir / FOLDER
        self._file = TableFile(
            data_dir / FILE, schema=truth.SCHEMA, version=truth.VERSION, clock=clock, is_durable=is_durable
        )
        self._clock = clock
        self._threads = threads
        self._keeps_up = keeps_up
        self._opening = threading.Lock()
        self._version = -1
        self._located: dict[str, truth.Located] = {}
        self._shelves: dict[int, tuple[Shelf, Words]] = {}

    # Collections

    async def create(self, spec: CollectionSpec) -> None:
        checks.check_spec(spec, self.abilities)
        there = await self._file.write(lambda connection: truth.create(connection, spec))
        if there is not None:
            checks.check_same(there.spec, spec)

    async def drop(self, collection: str) -> bool:
        dropped = await self._file.write(lambda connection: truth.drop(connection, collection))
        if dropped is None:
            return False
        await asyncio.to_thread(self._forget, dropped.number)
        await asyncio.to_thread(snapshot.discard, self._folder / str(dropped.number))
        return True

    async def collections(self) -> list[CollectionSpec]:
        return [located.spec for located in self._file.read(truth.all_located)]

    async def describe(self, collection: str) -> CollectionSpec:
        return self._find(collection).spec

    # Points

    async def upsert(self, collection: str, points: Sequence[Point], *, namespace: str = "") -> None:
        located = self._find(collection)
        checks.check_namespace(namespace)
        if len(points) > CHECKED_INLINE:
            await asyncio.to_thread(checks.check_points, located.spec, points, self.abilities)
        else:
            checks.check_points(located.spec, points, self.abilities)
        if points:
            await self._write(located, lambda db: truth.upsert(db, located.number, namespace, points))

    async def get(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> list[Point]:
        located = self._find(collection)
        checks.check_namespace(namespace)
        return await self._read(lambda db: truth.points_of_ids(db, located.number, namespace, ids), len(ids))

    async def delete(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> int:
        located = self._find(collection)
        checks.check_namespace(namespace)
        return await self._write(located, lambda db: truth.delete(db, located.number, namespace, ids))

    async def delete_where(self, collection: str, where: Filter | None, *, namespace: str = "") -> int:
        located = self._find(collection)
        checks.check_namespace(namespace)
        checks.check_filter(located.spec, where)
        if where is None:
            return await self._write(located, lambda db: truth.delete_namespace(db, located.number, namespace))
        rows = _rows(await self._view(located, where), namespace, where)
        return await self._write(located, lambda db: truth.remove(db, located.number, rows))

    async def count(self, collection: str, where: Filter | None = None, *, namespace: str = "") -> int:
        located = self._find(collection)
        checks.check_namespace(namespace)
        checks.check_filter(located.spec, where)
        if where is None:
            return await self._read(lambda db: truth.count(db, located.number, namespace), 1)
        return (await self._view(located, where)).choose(namespace, where).number

    async def scroll(
        self,
        collection: str,
        *,
        where: Filter | None = None,
        namespace: str = "",
        after: str | None = None,
        limit: int = 1000,
    ) -> Page:
        located = self._find(collection)
        checks.check_namespace(namespace)
        checks.check_limit(limit)
        checks.check_filter(located.spec, where)
        past = _cursor(after)
        if where is None:

            def rows_after(db: sqlite3.Connection) -> list[int]:
                return truth.page_rows(db, located.number, namespace, after=past, limit=limit + 1)

            rows = await self._read(rows_after, limit)
        else:
            rows = [row for row in _rows(await self._view(located, where), namespace, where) if row > past]
        page = rows[:limit]
        points = await self._read(lambda db: truth.points(db, page), limit)
        return Page(points=points, next=str(page[-1]) if len(rows) > limit else None)

    async def stats(self, collection: str) -> Stats:
        located = self._find(collection)
        namespaces = await self._read(lambda db: truth.namespaces(db, located.number), 1000)
        shelf = self._shelves.get(located.number)
        folder = self._folder / str(located.number)
        blocks = sum(file.stat().st_blocks for file in folder.rglob("*") if file.is_file())
        numbers = sum(namespaces.values()) * located.spec.dimension * 4
        return Stats(
            namespaces=namespaces,
            memory_bytes=shelf[0].memory_bytes if shelf else 0,
            disk_bytes=numbers + blocks * 512,
            index=shelf[0].index if shelf else "not open",
        )

    # Searching

    async def search(self, collection: str, query: Query) -> list[Hit]:
        located = self._find(collection)
        checks.check_query(located.spec, query)
        view = self._shelf(located)[0].current(query.where, version=self._version)
        search = prepare(located.spec, view or await self._view(located, query.where), query)
        found = search.run() if search.is_short else await asyncio.to_thread(search.run)
        return self._hits(found, with_vectors=query.with_vectors)

    async def search_many(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
        located = self._find(collection)
        for query in queries:
            checks.check_query(located.spec, query)
        return await asyncio.to_thread(self._search_all, located, queries)

    async def search_text(self, collection: str, query: TextQuery) -> list[Hit]:
        located = self._find(collection)
        checks.check_text_query(located.spec, query)
        view = await self._view(located, query.where)
        found = await asyncio.to_thread(self._search_words, located, view, query)
        return self._hits(found, with_vectors=query.with_vectors)

    async def settled(self) -> None:
        """Returns when what is being derived just now is derived."""
        for shelf, _ in list(self._shelves.values()):
            await asyncio.to_thread(shelf.settle)

    async def close(self) -> None:
        for number in list(self._shelves):
            await asyncio.to_thread(self._forget, number)
        await asyncio.to_thread(self._file.close)

    def _search_all(self, located: truth.Located, queries: Sequence[Query]) -> list[list[Hit]]:
        answers = []
        for query in queries:
            search = prepare(located.spec, self._shelf(located)[0].view(query.where), query)
            answers.append(self._hits(search.run(), with_vectors=query.with_vectors))
        return answers

    def _search_words(self, located: truth.Located, view: View, query: TextQuery) -> list[tuple[int, float]]:
        choice = view.choose(query.namespace, query.where)
        if not choice.number:
            return []
        few = None if choice.positions is None else [int(row) for row in view.rows[choice.positions]]

        def fits(rows: Sequence[int]) -> Sequence[bool]:
            asked = np.array(rows, np.int64)
            at = np.minimum(np.searchsorted(view.rows, asked), view.number - 1)
            there = view.rows[at] == asked
            return (there if choice.is_all else there & choice.holds(at)).tolist()  # type: ignore[no-any-return]

        words = self._shelf(located)[1]
        return words.search(Sought(query.text, query.limit, fits=fits, few=few, living=view.living))

    def _hits(self, found: Sequence[tuple[int, float]], *, with_vectors: bool) -> list[Hit]:
        if not found:
            return []
        rows = [row for row, _ in found]

        def read(db: sqlite3.Connection) -> tuple[Mapping[int, truth.Stored], Mapping[int, "Vector[float]"]]:
            return truth.stored(db, rows), truth.vectors(db, rows) if with_vectors else {}

        is_one_statement = len(rows) <= truth.AT_ONCE and not with_vectors
        stored, vectors = (self._file.read_once if is_one_statement else self._file.read)(read)
        return [
            Hit(id=there.id, score=score, metadata=there.metadata, text=there.text, vector=vectors.get(row))
            for row, score in found
            if (there := stored.get(row)) is not None
        ]

    # What is open

    def _find(self, collection: str) -> truth.Located:
        version = self._file.version()
        if version != self._version:
            self._located, self._version = {}, version
        known = self._located
        if (located := known.get(collection)) is None:
            if (located := self._file.read(lambda connection: truth.located(connection, collection))) is None:
                raise CollectionNotFound(collection)
            known[collection] = located
        return located

    def _shelf(self, located: truth.Located) -> tuple[Shelf, Words]:
        if (there := self._shelves.get(located.number)) is not None:
            return there
        with self._opening:
            if located.number not in self._shelves:
                folder = self._folder / str(located.number)
                shelf = Shelf(
                    self._file,
                    located,
                    folder=folder,
                    clock=self._clock,
                    threads=self._threads,
                    keeps_up=self._keeps_up,
                )
                self._shelves[located.number] = (shelf, open_words(self._file, located.number, folder))
            return self._shelves[located.number]

    async def _view(self, located: truth.Located, where: Filter | None) -> View:
        shelf = self._shelf(located)[0]
        if (view := shelf.current(where, version=self._file.version())) is not None:
            return view
        if shelf.is_nearly_current(where):
            return shelf.view(where)
        return await asyncio.to_thread(shelf.view, where)

    def _forget(self, number: int) -> None:
        if (there := self._shelves.pop(number, None)) is not None:
            there[0].close()

    async def _read(self, work: Callable[[sqlite3.Connection], T], size: int) -> T:
        """Small things are read at once, larger ones in a thread."""
        if size <= CHECKED_INLINE:
            return self._file.read(work)
        return await asyncio.to_thread(self._file.read, work)

    async def _write(self, located: truth.Located, work: Callable[[sqlite3.Connection], T]) -> T:
        def still_there(db: sqlite3.Connection) -> T:
            if (now := truth.located(db, located.spec.name)) is None or now.number != located.number:
                raise CollectionNotFound(located.spec.name)  # dropped in the meantime
            return work(db)

        return await self._file.write(still_there)


def _rows(view: View, namespace: str, where: Filter | None) -> list[int]:
    choice = view.choose(namespace, where)
    if not choice.number:
        return []
    rows = view.rows if choice.is_all else view.rows[choice.listed()]
    return rows.tolist()  # type: ignore[no-any-return]  # numpy's stubs


def _cursor(after: str | None) -> int:
    if after is None:
        return 0
    if not after.isascii() or not after.isdigit():
        raise InvalidQuery("That is not where a page ended.", param="after")
    return int(after)
