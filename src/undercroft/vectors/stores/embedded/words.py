"""Which texts have the most to do with some words: an index derived from the truth, by tantivy or by SQLite's FTS5.

Rows that were removed stay in it until it is made anew; whoever searches leaves them out.
"""

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from undercroft.errors import Unavailable
from undercroft.storage.table_file import TableFile
from undercroft.vectors.stores.embedded import snapshot, truth

WORDS: Final = 64
"""Different words of a query that are looked for."""
LISTED: Final = 300
"""Fitting rows that are named to tantivy; of more, it is asked for more hits and those that do not fit are left out."""
TURN_S: Final = 30.0
"""How long a search waits for another process that writes the index."""
WRITER_BYTES: Final = 50_000_000
SPARE: Final = 10_000
"""Removed texts that the index may hold beyond as many as live."""

Weighed = list[tuple[int, float]]
"""Row and weight, best first."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for."""

    text: str
    limit: int
    fits: Callable[[Sequence[int]], Sequence[bool]]
    """Which of these rows the search is about."""
    few: Sequence[int] | None
    """All rows that it is about, where they are few."""
    living: int
    """How many rows there are."""


class Words(Protocol):
    """The index of one collection."""

    def search(self, sought: Sought) -> Weighed:
        """The rows with any of the words, and what they weigh."""
        ...


def open_words(file: TableFile, number: int, folder: Path) -> Words:
    try:
        import tantivy
    except ImportError:
        return FtsWords(file, number)
    return TantivyWords(file, number, folder, library=tantivy)


def words_of(text: str) -> list[str]:
    """Its different words in lower case, in their order."""
    return list(dict.fromkeys(re.findall(r"\w+", text.lower())))[:WORDS]


class TantivyWords:
    """In files that all processes share: whoever finds it behind writes, one at a time."""

    def __init__(self, file: TableFile, number: int, folder: Path, *, library: Any) -> None:
        self._file = file
        self._number = number
        self._folder = folder / "words"
        self._library = library
        builder = library.SchemaBuilder()
        builder.add_unsigned_field("row", stored=False, indexed=True, fast=True)
        builder.add_text_field("text", stored=False, tokenizer_name="en_stem")
        self._schema = builder.build()
        self._writing = threading.Lock()
        self._index: Any = None
        self._version = -1

    def search(self, sought: Sought) -> Weighed:
        words, limit, few = words_of(sought.text), sought.limit, sought.few
        if not words:
            return []
        searcher = self._current(sought.living)
        query = self._index.parse_query(" ".join(words), ["text"])
        if few is not None and len(few) <= LISTED:
            listed = self._library.Query.term_set_query(self._schema, "row", list(few))
            must = self._library.Occur.Must
            nothing = self._library.Query.const_score_query(listed, 0.0)
            query = self._library.Query.boolean_query([(must, query), (must, nothing)])
        asked = limit
        while True:
            hits = searcher.search(query, asked, count=False).hits
            rows = searcher.fast_field_values("row", [address for _, address in hits])
            fitting = sought.fits(rows)
            found = [(row, score) for row, (score, _), fit in zip(rows, hits, fitting, strict=True) if fit]
            if len(found) >= limit or len(hits) < asked:
                return found[:limit]
            asked *= 4

    def _current(self, living: int) -> Any:
        """A searcher that knows everything that is in the truth."""
        with self._writing:
            version = self._file.version()
            if self._index is None:
                self._index = self._opened()
            if version != self._version:
                self._index.reload()
                self._write(living)
                self._version = version
            return self._index.searcher()

    def _opened(self) -> Any:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            return self._library.Index(self._schema, path=str(self._folder))
        except (ValueError, OSError):  # damaged, or made with another schema
            snapshot.discard(self._folder)
            self._folder.mkdir(parents=True)
            return self._library.Index(self._schema, path=str(self._folder))

    def _write(self, living: int) -> None:
        deadline = time.monotonic() + TURN_S
        while self._is_behind():
            try:
                writer = self._index.writer(WRITER_BYTES, 1)
            except ValueError as error:  # another process has the lock
                if time.monotonic() > deadline:
                    raise Unavailable("Another process writes the text index.", retry_after_s=5) from error
                time.sleep(0.02)
            else:
                self._file.read(lambda connection: self._add(connection, writer, living))  # noqa: B023 - called at once
                writer.wait_merging_threads()
            self._index.reload()

    def _is_behind(self) -> bool:
        last = self._last()
        return self._file.read(lambda connection: any(truth.texts_after(connection, self._number, last)))

    def _last(self) -> int:
        """The last row that is in the index."""
        searcher = self._index.searcher()
        found = searcher.search(self._library.Query.all_query(), 1, order_by_field="row", count=False).hits
        return int(found[0][0]) if found else 0

    def _add(self, connection: sqlite3.Connection, writer: Any, living: int) -> None:
        self._index.reload()  # now that nobody else writes
        last = self._last()
        if self._index.searcher().num_docs > 2 * living + SPARE:
            writer.delete_all_documents()
            last = 0
        for row, text in truth.texts_after(connection, self._number, last):
            document = self._library.Document()
            document.add_unsigned("row", row)
            document.add_text("text", text)
            writer.add_document(document)
        writer.commit()


class FtsWords:
    """In memory, for where tantivy is not installed: slower by far when words are common."""

    def __init__(self, file: TableFile, number: int) -> None:
        self._file = file
        self._number = number
        self._lock = threading.Lock()
        self._index = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._index.execute("CREATE VIRTUAL TABLE words USING fts5(text, tokenize='porter unicode61')")
        self._last = 0

    def search(self, sought: Sought) -> Weighed:
        words, limit = words_of(sought.text), sought.limit
        if not words:
            return []
        asked = " OR ".join(f'"{word}"' for word in words)
        with self._lock:
            self._file.read(self._catch_up)
            cursor = self._index.execute(
                "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ? ORDER BY bm25(words)", (asked,)
            )
            found: list[tuple[int, float]] = []
            while len(found) < limit and (some := cursor.fetchmany(4 * limit)):
                fitting = sought.fits([row for row, _ in some])
                found += [hit for hit, fit in zip(some, fitting, strict=True) if fit]
            return found[:limit]

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        fresh = truth.texts_after(connection, self._number, self._last)
        for row, text in fresh:
            self._index.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (row, text))
            self._last = row
