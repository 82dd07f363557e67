"""SQLite inside the process: one writer with group commit, readers beside it, several processes on one file."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeVar

from sqlalchemy import Connection, NullPool, QueuePool
from sqlalchemy.exc import SQLAlchemyError

from undercroft.clock import Clock
from undercroft.errors import ConfigurationError, UndercroftError
from undercroft.storage import migrate
from undercroft.storage.engines.checkpoints import Checkpoints
from undercroft.storage.engines.group_commit import GroupCommit
from undercroft.storage.engines.sqlite_file import (
    BUSY_S,
    connect,
    explain,
    migration_lock,
    open_engine,
    prepare,
    writing_pragmas,
)
from undercroft.storage.migrate import SchemaState
from undercroft.storage.transaction import Threads, Work, finished, finished_sync

T = TypeVar("T")

READERS: Final = 4


class SqliteDatabase:
    """A database file of our own, in WAL mode."""

    def __init__(self, path: Path, *, clock: Clock, is_durable: bool, migrates: bool) -> None:
        self._path = path.absolute()
        self._clock = clock
        self._explain = partial(explain, path=self._path)
        prepare(self._path)
        writing = ("foreign_keys=ON", *writing_pragmas(is_durable=is_durable))
        self._writing = open_engine(self._path, "BEGIN IMMEDIATE", writing, poolclass=NullPool)
        self._grouping = open_engine(self._path, None, writing, poolclass=NullPool)
        pool = {"poolclass": QueuePool, "pool_size": READERS, "max_overflow": 0, "pool_timeout": BUSY_S}
        self._reading = open_engine(self._path, "BEGIN", ("query_only=ON",), **pool)
        self._checkpoints = Checkpoints(partial(connect, self._path, writing))
        try:
            self._open(migrates)
            with self._explained():
                self._writer = GroupCommit(
                    self._grouping.connect(), explain=self._explain, committed=self._checkpoints.committed
                )
        except BaseException:
            self._reading.dispose()
            raise
        self._threads = Threads(READERS)

    @property
    def dialect(self) -> Literal["sqlite"]:
        return "sqlite"

    async def read(self, work: Work[T], /) -> T:
        return await self._threads.run(self.read_sync, work)

    async def write(self, work: Work[T], /) -> T:
        return await finished(self._writer.submit(work))

    async def others_writes(self) -> int:
        return await finished(self._writer.others())

    def read_sync(self, work: Work[T], /) -> T:
        with self._explained(is_reading=True), self._reading.connect() as connection, connection.begin():
            return work(connection)

    def write_sync(self, work: Work[T], /) -> T:
        return finished_sync(self._writer.submit(work))

    async def state(self) -> SchemaState:
        return await self._threads.run(self.state_sync)

    def state_sync(self) -> SchemaState:
        try:
            return self.read_sync(migrate.read_state)
        except UndercroftError as error:
            return migrate.unreachable(error)

    def migrate(self, target: str = "head", /) -> tuple[str | None, str | None]:
        with self._explained(), migration_lock(self._path, self._clock), self._writing.connect() as connection:
            # Altering rebuilds a table, and dropping the old one must not take its children along. The pragma only
            # works outside a transaction, so it goes round SQLAlchemy, which begins one for it.
            self._driver(connection).execute("PRAGMA foreign_keys=OFF")
            return migrate.move(connection, target)

    def close(self) -> None:
        self._writer.close()
        self._checkpoints.close()
        self._threads.close()
        self._reading.dispose()
        self._writing.dispose()
        self._grouping.dispose()

    def _open(self, migrates: bool) -> None:
        state, journal_mode = self.read_sync(self._survey)
        if journal_mode != "wal":
            self._use_wal()
        if migrates and state.kind == "newer":
            raise ConfigurationError(
                f"The database {self._path} cannot be used: {state.reason}.", hint="Install the newer undercroft."
            )
        if migrates and not state.is_ready:
            self.migrate()

    def _survey(self, connection: Connection) -> tuple[SchemaState, str]:
        """What the file holds; nothing is written before this says that it is ours."""
        state = migrate.read_state(connection)
        names = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE 'alembic_%'"
        if state.kind == "empty" and (stranger := connection.exec_driver_sql(names).scalar()) is not None:
            raise ConfigurationError(
                f"The database file {self._path} belongs to another program: it holds a table {stranger!r}.",
                hint="Nothing was changed. Name another with DATABASE_URL or `data_dir`.",
            )
        return state, str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())

    def _use_wal(self) -> None:
        # The change of mode does not wait for locks by itself, so starts take turns.
        with self._explained(), migration_lock(self._path, self._clock), self._writing.connect() as connection:
            (mode,) = self._driver(connection).execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise ConfigurationError(
                f"The file system of {self._path} cannot share memory between processes, as SQLite's WAL needs.",
                hint="Use a local disk for `data_dir`, or PostgreSQL.",
            )

    @contextmanager
    def _explained(self, *, is_reading: bool = False) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:  # the latter from what goes round SQLAlchemy
            explained = self._explain(error, is_reading=is_reading)
            if explained is None:
                raise
            raise explained from error

    @staticmethod
    def _driver(connection: Connection) -> sqlite3.Connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        return driver
