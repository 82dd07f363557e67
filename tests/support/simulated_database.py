"""The real SQL on SQLite in memory, behind a network that delays, breaks off and loses answers."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import TypeVar

from sqlalchemy import Connection, StaticPool, Table, create_engine, text

from tests.support.simulation import SimulatedLoop
from undercroft.errors import Unavailable

T = TypeVar("T")

STALL_RATE = 0.01
USUAL_S = 0.02
LONGEST_S = 3.0
PATIENCE_S = 2.0
"""Then whoever asked is told that nobody knows; what was asked may still happen."""


class SimulatedDatabase:
    """One transaction at a time, at some moment between asking and answer.

    Works once sent are done whether or not their process lives to hear of it, and maybe long after.
    """

    def __init__(self, loop: SimulatedLoop, tables: list[Table]) -> None:
        self._loop = loop
        self._rng = loop.rng
        self._engine = create_engine("sqlite://", poolclass=StaticPool)
        tables[0].metadata.create_all(self._engine, tables=tables)
        self.is_away = False
        self.loss_rate = 0.0
        """Share of answers that get lost on the way."""
        self.failure_rate = 0.0
        """Share of transactions that break at their COMMIT and are taken back."""
        self.settled: Callable[[bool], None] = lambda _: None
        """Called behind each transaction: whether it counts."""
        self.stall_rate = STALL_RATE
        """Share of what is sent that takes long, and may be overtaken."""
        self.count = 0

    async def read(self, work: Callable[[Connection], T], /) -> T:
        # In a context of its own: the server's side does not belong to the process that asks.
        serving = self._loop.create_task(self._serve(work), context=Context())
        serving.add_done_callback(lambda task: task.cancelled() or task.exception())
        done, _ = await asyncio.wait({serving}, timeout=PATIENCE_S)
        if not done:
            raise Unavailable("The database does not answer.")
        return serving.result()

    async def write(self, work: Callable[[Connection], T], /) -> T:
        return await self.read(work)

    def now(self, work: Callable[[Connection], T], /) -> T:
        """For the test itself: at once, whatever the weather."""
        return self._in_transaction(work, breaks=False)

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self.now(lambda connection, statement=statement: connection.execute(text(statement)))  # type: ignore[misc]  # the default binds it

    def close(self) -> None:
        self._engine.dispose()

    async def _serve(self, work: Callable[[Connection], T]) -> T:
        await self._travel()
        if self.is_away:
            raise Unavailable("The database is away.")
        self.count += 1
        result = self._in_transaction(work, breaks=self.failure_rate > 0 and self._rng.random() < self.failure_rate)
        await self._travel()
        if self._rng.random() < self.loss_rate:
            raise Unavailable("The connection broke during COMMIT.")
        return result

    def _in_transaction(self, work: Callable[[Connection], T], *, breaks: bool) -> T:
        is_kept = False
        try:
            with self._engine.begin() as connection:
                result = work(connection)
                if breaks:
                    raise Unavailable("The connection broke before COMMIT.")
            is_kept = True
        finally:
            self.settled(is_kept)
        return result

    async def _travel(self) -> None:
        longest = LONGEST_S if self._rng.random() < self.stall_rate else USUAL_S
        await asyncio.sleep(self._rng.uniform(0, longest))


@contextmanager
def simulated_database(loop: SimulatedLoop, *tables: Table) -> Iterator[SimulatedDatabase]:
    database = SimulatedDatabase(loop, list(tables))
    try:
        yield database
    finally:
        database.close()
