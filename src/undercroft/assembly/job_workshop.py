"""Puts together what takes and runs jobs in one process."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from undercroft.assembly.beside import finish
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.job_delivery import delivery
from undercroft.assembly.job_metrics import JobMetrics
from undercroft.clock import Clock
from undercroft.ids import Ids
from undercroft.jobs.crew import Crew, Terms
from undercroft.jobs.desk import Desk, Wanted
from undercroft.jobs.effects import Effects
from undercroft.jobs.handlers import Handlers
from undercroft.jobs.owners import LockedFiles
from undercroft.jobs.schedules import Schedule, Schedules
from undercroft.jobs.tending import Keep, Tending
from undercroft.jobs.types import JobSpec
from undercroft.record import Who
from undercroft.settings.model import Settings

FOLDER: Final = "jobs"
"""Of the data directory: a locked file for each process that runs jobs."""
DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Working:
    """What takes jobs here, and the tasks that run them: none of those ends by itself."""

    desk: Desk
    crew: Crew | None
    tasks: Sequence["asyncio.Task[None]"]


class _Expecting:
    """Passes on that some job's time will come, to whoever sees to it here."""

    def __init__(self) -> None:
        self.tending: Tending | None = None

    def __call__(self, delay_us: int) -> None:
        if self.tending is not None:
            self.tending.expect(delay_us)


@contextlib.asynccontextmanager
async def workshop(
    settings: Settings,
    *,
    database: DatabaseLink,
    handlers: Handlers,
    effects: Effects,
    metrics: JobMetrics,
    ids: Ids,
    clock: Clock,
) -> AsyncIterator[Working]:
    """Takes jobs for as long as the block lasts and, where the process has the role, runs them. At the end what runs
    has `[server] shutdown_grace_s` to finish; then it is anybody's again at once."""
    expecting = _Expecting()
    worker = ids.new("worker_")
    async with contextlib.AsyncExitStack() as stack:
        crew = None
        if settings.runs_jobs:
            watcher = metrics.watching(handlers, expecting)
            terms = terms_of(settings, worker=worker)
            rng = random.Random()  # noqa: S311 - spreads what is run again
            crew = Crew(database, handlers, terms, effects=effects, watcher=watcher, ids=ids, clock=clock, rng=rng)
        delivering = await stack.enter_async_context(delivery(settings, database=database, crew=crew, clock=clock))
        desk = Desk(
            database,
            handlers,
            delivering.queue,
            queues=settings.jobs.queue_names,
            effects=effects,
            crew=crew,
            room=crew if settings.job_delivery == "inline" else None,
            expect=expecting,
            ids=ids,
            clock=clock,
        )
        tasks = [*delivering.tasks]
        if crew is not None:
            owners = stack.enter_context(_locked(settings, worker))
            tending = expecting.tending = Tending(
                database,
                effects=effects,
                owners=owners,
                schedules=Schedules(schedules_of(settings), make=_Making(desk), clock=clock),
                keep=Keep(keep_us=settings.jobs.keep_days * DAY_US, keep_dead_us=settings.jobs.keep_dead_days * DAY_US),
                wake=crew.wake,
                clock=clock,
                stamp=database.stamp,
            )
            running = [asyncio.create_task(crew.run()), asyncio.create_task(tending.run())]
            stack.push_async_callback(finish, running)
            tasks += running
            stack.push_async_callback(crew.close, settings.server.shutdown_grace_s)
        yield Working(desk, crew, tasks)


def terms_of(settings: Settings, *, worker: str) -> Terms:
    """How this process runs jobs."""
    jobs = settings.jobs
    return Terms(
        worker=worker,
        queues=jobs.serves or jobs.queue_names,
        at_once=jobs.at_once,
        lease_s=jobs.lease_s,
        queue_limits={queue.name: queue.at_once for queue in jobs.queues if queue.at_once is not None},
        lane_limit=jobs.key_at_once,
        begins_early=settings.database.is_postgresql,
    )


def schedules_of(settings: Settings) -> list[Schedule]:
    return [
        Schedule(
            name=each.name,
            cron=each.cron,
            zone=each.timezone,
            kind=each.kind,
            input=each.input,
            queue=each.queue,
            priority=each.priority,
        )
        for each in settings.jobs.schedules
    ]


class _Making:
    """Makes the jobs of ticks as the desk would."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __call__(self, schedule: Schedule) -> JobSpec:
        wanted = Wanted(
            kind=schedule.kind,
            input=schedule.input.encode(),
            queue=schedule.queue,
            priority=schedule.priority,
            schedule=schedule.name,
        )
        return self._desk.spec(Who(), wanted)


@contextlib.contextmanager
def _locked(settings: Settings, worker: str) -> Iterator[LockedFiles | None]:
    """The proof that this worker lives, for others on the same file; a PostgreSQL server is reached from anywhere."""
    if settings.database.is_postgresql:
        yield None
        return
    owners = LockedFiles(settings.data_dir / FOLDER, worker)
    try:
        yield owners
    finally:
        owners.close()
