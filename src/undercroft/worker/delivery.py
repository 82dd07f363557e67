"""How a worker takes a message of ids: it hands them on, and that is all.

Celery would make a request of it, trace it as a task and look for who wants its result: twice the time until the job
begins, for a hint that has none. While somebody listens to its events (Flower does), it is a task like others.
"""

import time
from collections.abc import Callable
from typing import Any, Final, cast

from celery.exceptions import InvalidTaskError
from celery.utils.log import get_logger
from celery.worker import state
from celery.worker.strategy import default

from undercroft.jobs.queues.redis_transport import Transport, ids_in
from undercroft.worker.application import Application

YIELD_S: Final = 0.002
"""How long this thread leaves the interpreter to the loop's, which claims the jobs, before it asks for more: both at
once take longer than one after the other."""


def hand_over(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """A strategy, as Celery calls what takes a kind of message. Raises InvalidTaskError for one that is not as it
    should be, which Celery logs and drops."""
    usual = default(task, app, consumer, **options)
    logger = get_logger("celery.worker.strategy")
    application = cast("Application", app)

    def give(jobs: list[tuple[str, str]]) -> None:
        assert application.runtime is not None
        application.runtime.give(jobs)
        time.sleep(YIELD_S)
        state.total_count.update({task.name: 1})  # what `celery inspect stats` and heartbeats tell
        state.all_total_count[0] += 1

    def is_task() -> bool:
        return application.runtime is None or _are_heard(consumer.event_dispatcher)

    def take_early(message: dict[str, Any]) -> bool:
        if is_task():
            return False
        try:
            jobs = ids_in(message)
        except (KeyError, TypeError, ValueError):
            return False  # Celery says what is wrong with it
        give(jobs)
        return True

    def take(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any) -> Any:
        if body is not None or is_task():
            return usual(message, body, ack, reject, callbacks)
        try:
            (jobs,), _, _ = message.payload
            given = [(str(organisation), str(named)) for organisation, named in jobs]
        except (TypeError, ValueError) as error:
            raise InvalidTaskError(f"These are no ids of jobs: {error}") from error
        give(given)
        ack(logger, consumer.connection_errors)
        return None

    transport = getattr(consumer.connection, "transport", None)
    if isinstance(transport, Transport):
        transport.take = take_early  # as soon as it is read from Redis, before kombu and Celery wrap it
    return take


def _are_heard(eventer: Any) -> bool:
    """Whether events of tasks are sent: a worker's own, its heartbeats, always are."""
    return bool(eventer and eventer.enabled and (not eventer.groups or "task" in eventer.groups))
