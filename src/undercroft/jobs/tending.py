"""What has to be seen to beside the running of jobs: times that come, workers that are lost, ticks of periodic jobs,
what may be forgotten. Any number of processes may tend one database; each thing is done once.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from sqlalchemy import Connection

from undercroft.clock import Clock, beat
from undercroft.errors import Unavailable
from undercroft.jobs import repository
from undercroft.jobs.claims import promote
from undercroft.jobs.crew import Transactions
from undercroft.jobs.effects import Effects
from undercroft.jobs.endings import lose, reap, running_workers
from undercroft.jobs.owners import Owners
from undercroft.jobs.schedules import Schedules
from undercroft.jobs.statements import Moment, moment_of, run
from undercroft.jobs.types import Job
from undercroft.storage.stamp import Stamp, always_another
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.trace_context import under

LOOK_S: Final = 0.5
"""How often the database is looked at for what other processes have queued and nobody has said."""
SWEEP_S: Final = 600.0


class Sight(msgspec.Struct, frozen=True):
    """What there is to be done."""

    is_queued: bool
    due_in_us: int | None
    """Until the next delayed job's time."""
    is_expired: bool
    """Some lease has run out."""
    workers: tuple[str, ...]
    """Those that running jobs name."""


NOTHING: Final = Sight(is_queued=False, due_in_us=None, is_expired=False, workers=())


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """How long jobs are kept once they have ended."""

    keep_us: int
    keep_dead_us: int


def look(connection: Connection, *, moment: Moment) -> Sight:
    """A look at the database, cheap whatever is in it. A work for `read`."""
    ((is_queued, due_in_us, is_expired),) = run(connection, _LOOK, moment)
    return Sight(bool(is_queued), due_in_us, bool(is_expired), tuple(running_workers(connection, moment=moment)))


class Tending:
    """Sees to all that, for as long as it runs. `wake` is called when there is something to run."""

    def __init__(
        self,
        database: Transactions,
        *,
        effects: Effects,
        owners: Owners | None,
        schedules: Schedules,
        keep: Keep,
        wake: Callable[[], None],
        clock: Clock,
        stamp: Stamp = always_another,
    ) -> None:
        self._database = database
        self._effects = effects
        self._owners = owners
        self._schedules = schedules
        self._keep = keep
        self._wake = wake
        self._clock = clock
        self._stamp = stamp
        self._idle: object = None
        """The stamp at which there was nothing to do, whatever the time."""
        self._sooner = asyncio.Event()
        self._next = 0.0

    def expect(self, delay_us: int) -> None:
        """Some job's time comes in this long."""
        if self._clock.monotonic() + delay_us / 1_000_000 < self._next:
            self._sooner.set()

    async def run(self) -> None:
        """Looks at once, and then for ever."""
        swept = -SWEEP_S
        while True:
            wait_s = LOOK_S
            try:
                wait_s = await self._see_to_it()
                if self._clock.monotonic() - swept >= SWEEP_S:
                    swept = self._clock.monotonic()
                    await self._sweep()
            except Unavailable as error:
                get_logger("undercroft.jobs").debug("jobs_not_tended", reason=str(error))
            except Exception as error:  # noqa: BLE001 - a duty's outermost edge: it is tried again, and seen
                get_logger("undercroft.jobs").error("jobs_not_tended", exc_info=error)
            await self._rest(wait_s)

    async def _rest(self, wait_s: float) -> None:
        self._next = self._clock.monotonic() + wait_s
        sleeping = asyncio.ensure_future(self._clock.sleep(wait_s) if wait_s < LOOK_S else beat(self._clock, LOOK_S))
        woken = asyncio.ensure_future(self._sooner.wait())
        try:
            await asyncio.wait({sleeping, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            woken.cancel()
        self._sooner.clear()

    async def _see_to_it(self) -> float:
        """Does what there is to do; how long until there may be more."""
        stamp = await self._stamp()
        if stamp == self._idle:
            sight = NOTHING
        else:
            sight = await self._database.read(partial(look, moment=moment_of(self._clock)))
            self._idle = stamp if sight == NOTHING else None
        is_queued = sight.is_queued
        due_in_us = sight.due_in_us
        if due_in_us is not None and due_in_us <= 0:
            promoted = await self._database.write(partial(promote, moment=moment_of(self._clock)))
            is_queued, due_in_us = is_queued or bool(promoted), 0 if promoted else None
        if sight.is_expired:
            settled = await self._database.write(partial(reap, moment=moment_of(self._clock), effects=self._effects))
            _report(settled.jobs)
            is_queued = True
        for worker in sight.workers:
            if self._owners is not None and self._owners.is_gone(worker):
                gone = partial(lose, worker=worker, effects=self._effects)
                settled = await self._database.write(partial(gone, moment=moment_of(self._clock)))
                self._owners.forget(worker)
                _report(settled.jobs)
                is_queued = True
        tick_in_s, fired = await self._schedules.fire(self._database, effects=self._effects)
        if is_queued or fired:
            self._wake()
        due_in_s = LOOK_S if due_in_us is None else due_in_us / 1_000_000
        return max(0.001, min(LOOK_S, due_in_s, tick_in_s))

    async def _sweep(self) -> None:
        work = partial(repository.forget, keep_us=self._keep.keep_us, keep_dead_us=self._keep.keep_dead_us)
        while await self._database.write(partial(work, moment=moment_of(self._clock))):
            pass


def _report(jobs: list[Job]) -> None:
    for job in jobs:
        with under(job.trace):
            get_logger("undercroft.jobs").warning("job_lost", job=job.id, worker=job.worker, state=job.state)


_LOOK: Final = """
SELECT
  EXISTS (SELECT 1 FROM jobs WHERE state = 'queued'),
  (SELECT min(run_at_us) FROM jobs WHERE state = 'delayed') - {now},
  EXISTS (SELECT 1 FROM jobs WHERE state = 'running' AND lease_until_us <= {steady})"""
