"""Call records straight into the database, before their answer ends: for hosts that take disk and process away.

No file, no thread and no task of its own: what is appended waits in memory for whoever calls `durable`.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from undercroft.errors import Unavailable
from undercroft.ledger.entries import columns_of
from undercroft.record import CallOpened, CallRecord, SpoolRecord

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

MOST_WAITING: Final = 10_000
"""Records that are kept in memory while the database refuses them."""
ROWS_AT_ONCE: Final = 256


class Writer(Protocol):
    """The database, as far as this needs it; raises Unavailable."""

    async def write(self, work: "Callable[[Connection], T]", /) -> T: ...


class DirectLedger:
    """`durable` returning means: committed. A call that a killed process left open is not known to anybody.

    Call it from one event loop's thread.
    """

    place: Final = "database"
    is_immediate: Final = False
    """Each answer waits for its transaction."""

    def __init__(self, database: Writer, *, name: str, away: Callable[[], str]) -> None:
        """`name` is that of one life of one process; `away` says why the database is known to be away, and nothing
        while it is there."""
        self.name = name
        self._database = database
        self._away = away
        self.problem = ""
        """Why the database took no record the last time; empty while it does."""
        self._waiting: list[CallRecord] = []
        self._appended = 0
        self._written = 0
        self._writing: asyncio.Task[Unavailable | None] | None = None

    def append(self, record: SpoolRecord) -> None:
        """Takes one record. Raises Unavailable (`ledger_unavailable`) where a call must not start: it could not be
        booked. The end of a call is kept until the database takes it."""
        if isinstance(record, CallOpened):
            if reason := self.problem or self._away():
                raise _refusal(reason)
        elif isinstance(record, CallRecord):
            if len(self._waiting) >= MOST_WAITING:
                raise _refusal(self.problem)
            self._waiting.append(record)
            self._appended += 1

    async def durable(self) -> None:
        """Returns when the rows of all that was appended before are committed; all who wait share a transaction.

        Raises Unavailable when the database did not take them: they are tried again the next time.
        """
        wanted = self._appended
        while self._written < wanted:
            if self._writing is None:
                self._writing = asyncio.create_task(self._write())
            if failure := await asyncio.shield(self._writing):
                raise _refusal(str(failure)) from failure

    async def close(self) -> None:
        """Nothing is held: what is to last was made durable."""

    async def _write(self) -> Unavailable | None:
        batch, self._waiting = self._waiting, []
        is_written = False
        try:
            await self._database.write(partial(_book, records=batch, name=self.name))
            is_written = True
        except Unavailable as error:
            self.problem = str(error).rstrip(".")
            return error
        finally:
            self._writing = None
            if not is_written:  # some of it may have been: a row that is there is passed over
                self._waiting = [*batch, *self._waiting]
        self._written += len(batch)
        self.problem = ""
        return None


def _book(connection: "Connection", *, records: list[CallRecord], name: str) -> None:
    # Imported here, with SQLAlchemy, once the process has long been answering.
    from undercroft.storage.bulk import insert_new
    from undercroft.storage.schema import calls

    for start in range(0, len(records), ROWS_AT_ONCE):
        some = records[start : start + ROWS_AT_ONCE]
        insert_new(connection, calls, {**columns_of(some), "spool": [name] * len(some)})


def _refusal(reason: str) -> Unavailable:
    return Unavailable(f"The call's record cannot be written: {reason}.", code="ledger_unavailable", retry_after_s=1)
