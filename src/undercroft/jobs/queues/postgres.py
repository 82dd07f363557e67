"""Delivery by the database itself: who hands a job in says so (NOTIFY), and workers that have room claim (SKIP LOCKED).

A word that is lost, or said while nobody listens, costs no more than the time until a worker looks by itself
(`tending.LOOK_S`).
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.jobs.crew import Transactions
from undercroft.jobs.queue import JobRef
from undercroft.storage.notifications import listen, notify
from undercroft.telemetry.logs import get_logger

CHANNEL: Final = "undercroft_jobs"


class Postgres:
    """A JobQueue without a broker. `wake` is the crew's, where this process has one.

    The word is the queue's name. While one transaction says it, what else comes in waits for the next: a NOTIFY holds
    a lock of the whole server's, so thousands a second would stand in a line.
    """

    def __init__(self, database: Transactions, *, wake: Callable[[], None] | None) -> None:
        self._database = database
        self._wake = wake
        self._unsaid: set[str] = set()
        self._saying: asyncio.Task[None] | None = None

    async def deliver(self, jobs: Sequence[JobRef], /) -> None:
        if not jobs:
            return
        if self._wake is not None:
            self._wake()
        self._unsaid.update(job.queue for job in jobs)
        if self._saying is None or self._saying.done():
            self._saying = asyncio.create_task(self._say())

    async def close(self) -> None:
        """Returns when what was handed in last has been said."""
        if self._saying is not None:
            await self._saying

    async def _say(self) -> None:
        while self._unsaid:
            queues, self._unsaid = self._unsaid, set()
            try:
                await self._database.write(partial(notify, channel=CHANNEL, words=sorted(queues)))
            except Unavailable as error:
                get_logger("undercroft.jobs").debug("jobs_not_announced", reason=str(error))


async def hear(url: str, queues: Sequence[str], wake: Callable[[], None], *, clock: Clock) -> None:
    """Wakes a crew that works on `queues` whenever somebody says that there is something in them."""

    def heard(queue: str) -> None:
        if not queue or queue in queues:
            wake()

    await listen(url, CHANNEL, heard, clock=clock)
