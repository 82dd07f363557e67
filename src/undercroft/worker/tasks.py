"""The tasks: ids handed to this process's jobs, and prompts handed in by programs that use Celery."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from celery import Task
from celery.result import AsyncResult
from kombu.exceptions import KombuError, OperationalError

from undercroft.clock import SystemClock
from undercroft.errors import InvalidRequest, Unavailable
from undercroft.ids import Ids
from undercroft.jobs.queues.celery_app import DELIVER
from undercroft.telemetry.logs import get_logger
from undercroft.worker.application import Application, app
from undercroft.worker.runtime import Runtime

_ids: Final = Ids(SystemClock())


@app.task(name=DELIVER, Strategy="undercroft.worker.delivery:hand_over")  # type: ignore[untyped-decorator]  # no types
def deliver(jobs: list[list[str]]) -> None:
    """These jobs were delivered: organisation and id of each."""
    _runtime().give([(organisation, named) for organisation, named in jobs])


class PromptTask(Task):  # type: ignore[misc]  # Celery has no types
    """Sending it makes a job first: from then on nothing that happens to the message matters."""

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Any,
    ) -> AsyncResult:
        """As Celery's. Raises Unavailable when the database cannot take the job.

        `countdown` and `eta` are kept in the job's row: Celery would keep them in one worker's memory.
        """
        application = cast("Application", self.app)
        task_id = task_id or _ids.new("task_")
        delay_s = _delay_s(options.pop("countdown", None), options.pop("eta", None))
        job = application.rows.hand_in(task_id, *_asked(*args or (), **kwargs or {}), delay_s=delay_s)
        if application.settings.jobs.broker_url is None or job.state != "queued":
            return self.AsyncResult(task_id)
        # Celery writes these into logs and events, where prompts have no place.
        options |= {"retry": False, "argsrepr": "(…)", "kwargsrepr": "{…}"}
        try:
            return super().apply_async(args, kwargs, task_id=task_id, **options)
        except (OperationalError, KombuError, OSError) as error:
            get_logger("undercroft.jobs").warning("broker_unavailable", job=job.id, reason=str(error))
            return self.AsyncResult(task_id)


@app.task(  # type: ignore[untyped-decorator]
    name="tasks.process_ai_request",
    base=PromptTask,
    bind=True,
    ignore_result=False,
    # A program without this class may have sent the message, which then is all there is of it until its job is made.
    acks_late=True,
    reject_on_worker_lost=True,
)
def process_ai_request(self: Any, prompt: str, *, model: str | None = None) -> str | None:
    """Answers a prompt: `.delay(prompt).get()` is the text. Called like a function it is `undercroft.generate`.

    Underneath it is a job of kind `generate`: tried three times more for failures of its own, and for as long as a
    day while the model is away.
    """
    if self.request.called_directly:
        from undercroft.assembly.embedded import generate

        return generate(prompt, model=model)
    runtime = _runtime()
    while True:
        try:
            job = self.app.rows.hand_in(self.request.id, *_asked(prompt, model=model))
        except Unavailable:
            if runtime.wait(1.0):
                raise
            continue
        runtime.give([(job.organisation, job.id)])
        return None


def _asked(prompt: object, *, model: object = None) -> tuple[str, str | None]:
    if not isinstance(prompt, str) or not isinstance(model, str | None):
        raise InvalidRequest("process_ai_request takes a prompt and a model's name, both text.")
    return prompt, model


def _delay_s(countdown: float | None, eta: datetime | None) -> float:
    if eta is not None:
        return eta.timestamp() - SystemClock().now_us() / 1_000_000
    return countdown or 0.0


def _runtime() -> Runtime:
    runtime = app.runtime
    if runtime is None:
        raise RuntimeError("This task runs in a worker of undercroft's, with the pool 'solo' or 'threads'.")
    return runtime
