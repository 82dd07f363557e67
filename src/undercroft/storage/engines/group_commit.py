"""One thread that does every write, many of them in one transaction."""

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from undercroft.errors import UndercroftError
from undercroft.storage.transaction import Work, busy, closed

T = TypeVar("T")

BATCH: Final = 256
"""Most works in one transaction: bounds how long the first of them waits for its commit."""
WAITING: Final = 10_000
"""Most works that may wait; further ones are refused at once."""


@dataclass(frozen=True, slots=True)
class _Write:
    work: Work[Any] | None
    """None: only how often others have written is asked for."""
    future: Future[Any]


class GroupCommit:
    """Whatever is waiting when a commit ends makes up the next transaction.

    Each work has a savepoint of its own, so one that raises takes back only what it did. Nobody learns the outcome,
    good or bad, before the COMMIT: even an error may rest on rows of a neighbour that are not there if it fails.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        explain: Callable[[BaseException], UndercroftError | None],
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        """`connection` is one whose transactions SQLAlchemy does not begin (`sqlite_file.open_engine`). `committed` is
        called behind every COMMIT, when everybody knows of it."""
        self._connection = connection
        self._explain = explain
        self._committed = committed
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="undercroft-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T]) -> Future[T]:
        """Queues `work`; the future is resolved after its commit."""
        return self._queued(work, Future())

    def others(self) -> Future[int]:
        """A number that changes when other connections commit; told once all that waits now is committed."""
        return self._queued(None, Future())

    def _queued(self, work: Work[T] | None, future: Future[T]) -> Future[T]:
        if threading.current_thread() is self._thread:
            raise RuntimeError("A work must not ask for another write: it would wait for itself.")
        with self._closing:  # nothing may be queued behind the end, where nobody would see it
            if self._is_closed:
                raise closed()
            if self._writes.qsize() >= WAITING:
                raise busy()
            self._writes.put(_Write(work, future))
        return future

    def close(self) -> None:
        """Finishes what was accepted, and closes the connection."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            self._writes.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            begun = [write for write in batch if write.future.set_running_or_notify_cancel()]
            if writes := [(write.work, write.future) for write in begun if write.work is not None]:
                self._commit(writes)
            for write in begun:
                if write.work is None:
                    self._tell_others(write.future)

    def _next_batch(self) -> list[_Write] | None:
        """Everything that waits, at least one; None at the end."""
        first = self._writes.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < BATCH:
            try:
                following = self._writes.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._writes.put(None)
                break
            batch.append(following)
        return batch

    def _commit(self, batch: list[tuple[Work[Any], Future[Any]]]) -> None:
        try:
            outcomes = self._in_transaction([work for work, _ in batch])
        except BaseException as error:  # noqa: BLE001 - the thread's outermost edge: whoever waits is told
            for _, future in batch:
                future.set_exception(self._told(error))
            return
        for (_, future), (result, failure) in zip(batch, outcomes, strict=True):
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(self._told(failure))
        self._committed()

    def _tell_others(self, future: Future[int]) -> None:
        try:
            # SQLite's own number for it: what this connection commits does not count.
            (version,) = _driver(self._connection).execute("PRAGMA data_version").fetchone()
        except BaseException as error:  # noqa: BLE001 - as above
            future.set_exception(self._told(error))
        else:
            future.set_result(version)

    def _in_transaction(self, works: list[Work[Any]]) -> list[tuple[Any, BaseException | None]]:
        # By the driver: SQLAlchemy's begin and commit take as long as a statement or two. It believes in a transaction
        # of its own as soon as it executes something, which sends nothing, and is told when that is over.
        driver = _driver(self._connection)
        try:
            driver.execute("BEGIN IMMEDIATE")
            outcomes = [_attempt(self._connection, work) for work in works]
            driver.execute("COMMIT")
        finally:
            if driver.in_transaction:
                driver.execute("ROLLBACK")
            self._connection.rollback()
        return outcomes

    def _told(self, error: BaseException) -> BaseException:
        """A new one for each future: those who wait raise it in tasks of their own, and each adds its traceback."""
        explained = self._explain(error)
        if explained is None:
            return error
        explained.__cause__ = error
        return explained


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _attempt(connection: Connection, work: Work[Any]) -> tuple[Any, BaseException | None]:
    """Runs `work` in a savepoint: its result, or the error it ended in."""
    # By the driver: 1 us a work where SQLAlchemy's begin_nested takes 38.
    driver = _driver(connection)
    driver.execute("SAVEPOINT work")
    try:
        result = work(connection)
        driver.execute("RELEASE work")
    except BaseException as error:
        # A full disk or an I/O error can end the whole transaction, and everybody's work with it.
        if not driver.in_transaction:
            raise
        driver.execute("ROLLBACK TO work")
        driver.execute("RELEASE work")
        return None, error
    return result, None
