"""How a worker takes a message of ids: it hands them on, and that is all.

Celery would make a request of it, trace it as a task and look for who wants its result: twice the time until the job
begins, for a hint that has none. While somebody listens to its events (Flower does), it is a task like others.
"""

import time
from collections.abc import Callable
from typing import Any, cast

from celery.exceptions import InvalidTaskError
from celery.utils.log import get_logger
from celery.worker import state
from celery.worker.strategy import default

from undercroft.worker.application import Application


def hand_over(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """A strategy, as Celery calls what takes a kind of message. Raises InvalidTaskError for one that is not as it
    should be, which Celery logs and drops."""
    usual = default(task, app, consumer, **options)
    logger = get_logger("celery.worker.strategy")
    application = cast("Application", app)

    def take(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any) -> Any:
        runtime, eventer = application.runtime, consumer.event_dispatcher
        if runtime is None or body is not None or (eventer and eventer.enabled):
            return usual(message, body, ack, reject, callbacks)
        try:
            (jobs,), _, _ = message.payload
            given = [(str(organisation), str(named)) for organisation, named in jobs]
        except (TypeError, ValueError) as error:
            raise InvalidTaskError(f"These are no ids of jobs: {error}") from error
        runtime.give(given)
        time.sleep(0)  # the loop's thread is waiting for the interpreter, and need not until this one waits itself
        ack(logger, consumer.connection_errors)
        state.total_count.update({task.name: 1})  # what `celery inspect stats` and heartbeats tell
        state.all_total_count[0] += 1
        return None

    return take
