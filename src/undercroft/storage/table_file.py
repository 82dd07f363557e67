"""An SQLite file of one capability's own, for what must not stand in the way of the database: bulk, and hot reads.

Statements go straight to the driver. One thread writes, with group commit; readers are never in its way.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Connection, NullPool
from sqlalchemy.exc import SQLAlchemyError

from undercroft.clock import Clock
from undercroft.errors import ConfigurationError
from undercroft.storage.engines.group_commit import GroupCommit
from undercroft.storage.engines.sqlite_file import (
    connect,
    explain,
    migration_lock,
    open_engine,
    prepare,
    writing_pragmas,
)
from undercroft.storage.transaction import finished

T = TypeVar("T")
Statements = Callable[[sqlite3.Connection], T]
"""A plain function of the driver's connection, inside a transaction that it neither commits nor rolls back."""

READERS: Final = 8
CACHE_KIB: Final = 16_384
"""Pages that each reader keeps."""


class TableFile:
    """Runs statements, each in one transaction. Raises Unavailable and ConfigurationError."""

    def __init__(self, path: Path, *, schema: str, version: int, clock: Clock, is_durable: bool = False) -> None:
        """Opens the file and makes what is in it current: `schema` is run where the file is new."""
        self._path = path.absolute()
        self._explain = partial(explain, path=self._path)
        prepare(self._path)
        with self._explained():
            self._engine = open_engine(self._path, None, writing_pragmas(is_durable=is_durable), poolclass=NullPool)
            with migration_lock(self._path, clock):
                self._make(schema, version)
            self._writer = GroupCommit(self._engine.connect(), explain=self._explain)
            self._watching = self._reader()
        self._watch = threading.Lock()
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue(READERS)

    async def write(self, work: Statements[T], /) -> T:
        """Runs `work` in one transaction; returns after its commit, and nothing of it stays if it raises."""
        return await finished(self._writer.submit(lambda connection: work(_driver(connection))))

    def read(self, work: Statements[T], /) -> T:
        """Runs `work` on one snapshot, in this thread; writing is refused."""

        def on_snapshot(reader: sqlite3.Connection) -> T:
            reader.execute("BEGIN")
            try:
                return work(reader)
            finally:
                reader.execute("COMMIT")

        return self.read_once(on_snapshot)

    def read_once(self, work: Statements[T], /) -> T:
        """The same for a single statement, which is a snapshot by itself."""
        with self._explained(is_reading=True):
            try:
                reader = self._idle.get_nowait()
            except queue.Empty:
                reader = self._reader()
            try:
                return work(reader)
            finally:
                try:
                    self._idle.put_nowait(reader)
                except queue.Full:
                    reader.close()

    def version(self) -> int:
        """Another number after each commit of anybody's, in any process: a few microseconds, nothing is read."""
        with self._explained(is_reading=True), self._watch:
            (version,) = self._watching.execute("PRAGMA data_version").fetchone()
            return int(version)

    def close(self) -> None:
        """Finishes what was accepted and lets go of the file."""
        self._writer.close()
        self._engine.dispose()
        while not self._idle.empty():
            self._idle.get_nowait().close()
        with self._watch:
            self._watching.close()

    def _make(self, schema: str, version: int) -> None:
        with self._engine.connect() as connection:
            driver = _driver(connection)
            (found,) = driver.execute("PRAGMA user_version").fetchone()
            if found > version:
                raise ConfigurationError(
                    f"The file {self._path} was made by a newer undercroft.", hint="Install the newer undercroft."
                )
            if found == version:
                return
            (tables,) = driver.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if tables:
                raise ConfigurationError(
                    f"The file {self._path} belongs to another program.",
                    hint="Nothing was changed. Name another `data_dir`, or move this one away.",
                )
            (mode,) = driver.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode != "wal":
                raise ConfigurationError(
                    f"The file system of {self._path} cannot share memory between processes, as SQLite's WAL needs.",
                    hint="Use a local disk for `data_dir`.",
                )
            driver.executescript(f"BEGIN IMMEDIATE; {schema}; PRAGMA user_version={version}; COMMIT;")

    def _reader(self) -> sqlite3.Connection:
        return connect(self._path, ("query_only=ON", f"cache_size=-{CACHE_KIB}"))

    @contextmanager
    def _explained(self, *, is_reading: bool = False) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            explained = self._explain(error, is_reading=is_reading)
            if explained is None:
                raise
            raise explained from error


def copy_file(path: Path, to: Path) -> None:
    """A whole copy of such a file as it is at one moment, beside those that write it. Raises Unavailable."""
    source = connect(path, ())
    try:
        source.execute("VACUUM INTO ?", (str(to),))
        connect(to, ("journal_mode=WAL",)).close()  # a copy begins without
    except sqlite3.Error as error:
        explained = explain(error, path=path, is_reading=True)
        if explained is None:
            raise
        raise explained from error
    finally:
        source.close()


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver
