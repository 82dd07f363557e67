"""Celery's result backend: what became of a task is what its job's row says."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from celery import exceptions, states
from celery.backends.base import BaseBackend

from undercroft.errors import UndercroftError
from undercroft.jobs.types import Job, Status

if TYPE_CHECKING:
    from undercroft.worker.application import Application

FIRST_LOOK_S: Final = 0.005
LONGEST_LOOK_S: Final = 0.1
"""Between looks at the row, for who waits."""


class JobFailed(UndercroftError):
    """The job that was waited for is dead: no further try will be made."""

    code, status = "job_failed", 502


class _Generated(msgspec.Struct):
    result: str


class JobResults(BaseBackend):  # type: ignore[misc]  # Celery has no types
    """Reads rows, and writes nothing: they are written where jobs end."""

    def store_result(self, task_id: str, result: Any, state: str, **_: Any) -> Any:
        return result

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = LONGEST_LOOK_S,
        no_ack: bool = True,
        on_interval: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        """Looks often at first, since most answers come soon."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause_s = FIRST_LOOK_S
        meta: dict[str, Any]
        while (meta := self.get_task_meta(task_id))["status"] not in states.READY_STATES:
            if on_interval is not None:
                on_interval()
            if deadline is not None and time.monotonic() >= deadline:
                raise exceptions.TimeoutError("The operation timed out.")
            time.sleep(pause_s if deadline is None else max(0.0, min(pause_s, deadline - time.monotonic())))
            pause_s = min(2 * pause_s, LONGEST_LOOK_S, max(interval, FIRST_LOOK_S))
        return meta

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        job = cast("Application", self.app).rows.find(task_id)
        if job is None:
            return {"status": states.PENDING, "result": None}
        return {"task_id": task_id, "status": _STATES[job.status], "result": _result(job), "traceback": None}


def _result(job: Job) -> Any:
    match job.status:
        case "succeeded":
            return msgspec.json.decode(job.result or "", type=_Generated).result
        case "cancelled":
            return exceptions.TaskRevokedError(f"Job {job.id} was cancelled.")
        case "dead" | "waiting":
            failure = job.failure
            assert failure is not None, "a job that failed says why"
            return JobFailed(f"{failure.message} (job {job.id}, {failure.code})")
    return None


_STATES: Final[dict[Status, str]] = {
    "queued": states.PENDING,
    "running": states.STARTED,
    "waiting": states.RETRY,
    "succeeded": states.SUCCESS,
    "dead": states.FAILURE,
    "cancelled": states.REVOKED,
}
