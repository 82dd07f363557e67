"""What is done in one transaction, and how long anyone waits for it."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from sqlalchemy import Connection

from undercroft.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[[Connection], T]
"""A plain function of a connection, inside a transaction that it neither commits nor rolls back.

A write's outcome is unknown when the connection breaks during COMMIT, so a work that may be tried again says what
should hold afterwards (ON CONFLICT, absolute values) instead of what to add.
"""

WAIT_S = 10.0
"""How long a work waits for its turn. Longer than SQLite's busy time-out, so that the lock's own error comes first."""

ANSWER_S = 60.0
"""How long a work that was begun may take before its caller is told that nobody knows: twice a statement's limit."""


def closed() -> Unavailable:
    """The process is on its way out."""
    return Unavailable("The database is closed.", code="database_closed", retry_after_s=1)


def busy() -> Unavailable:
    """Nobody had time for this work: it was not begun."""
    return Unavailable(
        "The database is busy: this had to wait too long for its turn.", code="database_busy", retry_after_s=1
    )


async def finished(future: Future[T], *, wait_s: float = WAIT_S, answer_s: float = ANSWER_S) -> T:
    """What `future` comes to. Its turn must come within `wait_s`, and the answer within `answer_s` of that."""
    # By hand: `asyncio.wait` with a time-out takes two turns of the loop more, and each write would.
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()
    patience: asyncio.TimerHandle

    def tell(done: Future[T]) -> None:
        if outcome.done():
            return
        if done.cancelled():
            outcome.cancel()
        elif (error := done.exception()) is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(done.result())

    def ended(done: Future[T]) -> None:
        # It must not know `future`, which keeps it: what was read would stay until somebody looks for cycles.
        with contextlib.suppress(RuntimeError):  # the loop is gone, and nobody waits
            loop.call_soon_threadsafe(tell, done)

    def refuse() -> None:
        nonlocal patience
        if outcome.done():
            return
        if future.cancel():
            outcome.set_exception(busy())
        else:
            patience = loop.call_later(answer_s, give_up)

    def give_up() -> None:
        if not outcome.done():
            outcome.set_exception(
                Unavailable("The database does not answer.", code="database_timeout", retry_after_s=5)
            )

    patience = loop.call_later(wait_s, refuse)
    future.add_done_callback(ended)
    try:
        return await outcome
    finally:
        patience.cancel()
        future.cancel()  # a work that was not begun is dropped with its caller; one that runs is finished


def finished_sync(future: Future[T], *, wait_s: float = WAIT_S) -> T:
    """The same, for a thread that may block and has all the time there is once its turn has come."""
    try:
        return future.result(wait_s)
    except TimeoutError:
        if future.done() or not future.cancel():
            return future.result()
        raise busy() from None


class Threads:
    """Those that run works for the async face; started when there is something to do."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="undercroft-database")

    async def run(self, function: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> T:
        try:
            future = self._pool.submit(function, *arguments, **named)
        except RuntimeError as error:
            raise closed() from error
        return await finished(future)

    def close(self) -> None:
        """Finishes what was accepted."""
        self._pool.shutdown()
