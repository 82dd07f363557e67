"""Picks what brings jobs to workers, and runs it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from undercroft.assembly.beside import finish
from undercroft.clock import Clock
from undercroft.errors import MissingExtra
from undercroft.jobs.crew import Crew, Transactions
from undercroft.jobs.queue import JobQueue
from undercroft.jobs.queues.inline import Inline
from undercroft.settings.model import Settings

if TYPE_CHECKING:
    from undercroft.jobs.queues.celery import Broker


@dataclass(frozen=True, slots=True)
class Delivering:
    """The queue, and what works for it: none of those tasks ends by itself."""

    queue: JobQueue
    tasks: Sequence["asyncio.Task[None]"] = field(default=())


@contextlib.asynccontextmanager
async def delivery(
    settings: Settings, *, database: Transactions, crew: Crew | None, clock: Clock
) -> AsyncIterator[Delivering]:
    """Delivers for as long as the block lasts. `crew` is this process's own, if it runs jobs."""
    async with contextlib.AsyncExitStack() as stack:
        tasks: list[asyncio.Task[None]] = []

        def start(work: Coroutine[Any, Any, None]) -> None:
            tasks.append(asyncio.create_task(work))

        wake = crew.wake if crew is not None else None
        queue: JobQueue
        match settings.job_delivery:
            case "inline":
                queue = Inline(wake)
            case "postgres":
                from undercroft.jobs.queues.postgres import Postgres, hear

                queue = saying = Postgres(database, wake=wake)
                stack.push_async_callback(saying.close)
                url = settings.database.url
                if crew is not None and url is not None:
                    start(hear(url.get_secret_value(), crew.terms.queues, crew.wake, clock=clock))
            case "celery":
                from undercroft.jobs.queues.celery import Celery

                queue = sending = Celery(_broker(settings), wake=wake, clock=clock)
                stack.callback(sending.close)
                start(sending.run())
                if wake is not None:
                    start(sending.watch(wake))
        stack.push_async_callback(finish, tasks)
        yield Delivering(queue, tasks)


def _broker(settings: Settings) -> "Broker":
    try:
        from celery import Celery

        from undercroft.jobs.queues.celery_app import CeleryBroker
    except ImportError as error:
        raise MissingExtra("Celery", extra="celery") from error
    app = Celery("undercroft", set_as_current=False)
    app.conf.update(celery_options(settings))
    return CeleryBroker(app)


def celery_options(settings: Settings) -> dict[str, Any]:
    """What Celery is told, as a worker and as a sender."""
    from undercroft.jobs.queues.celery_app import celery_settings

    jobs = settings.jobs
    url = jobs.broker_url.get_secret_value() if jobs.broker_url is not None else None
    return celery_settings(url, jobs.serves or jobs.queue_names, at_once=jobs.at_once)
