"""What becomes of a job: state and event in, state out. No clock, no database, nothing drawn by lot.

blocked ──parents──> delayed | queued        delayed ──its time──> queued        held ──room in its lane──> queued
queued ──claimed──> running ──> succeeded | dead | cancelled | queued | delayed
dead | cancelled ──retried──> queued
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from undercroft.errors import Conflict
from undercroft.jobs.retry import wait_s
from undercroft.jobs.types import ENDED, Failed, Failure, Job, Lost, Outcome, Released, State, Stopped, Succeeded

CRASH_LIMIT: Final = 3
"""A job that took so many workers with it is not given to another one."""

WORKER_LOST: Final = Failure(
    code="worker_lost", message="The process that ran this job was lost, and so were those before it.", blame="final"
)
CANCELLED: Final = Failure(code="cancelled", message="The job was cancelled.", blame="final")
PARENT_FAILED: Final = Failure(
    code="parent_failed", message="A job that this one waits for did not succeed.", blame="final"
)

WAYS: Final[Mapping[State, frozenset[State]]] = {
    "blocked": frozenset({"delayed", "queued", "dead", "cancelled"}),
    "delayed": frozenset({"queued", "cancelled"}),
    "held": frozenset({"queued", "cancelled"}),
    "queued": frozenset({"running", "held", "delayed", "cancelled"}),
    "running": frozenset({"succeeded", "dead", "cancelled", "queued", "delayed"}),
    "succeeded": frozenset(),
    "dead": frozenset({"queued"}),
    "cancelled": frozenset({"queued"}),
}
"""Every way there is from one state to another."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What a running job's row becomes."""

    state: State
    attempts: int
    crashes: int
    failure: Failure | None = None
    delay_us: int = 0
    """For `delayed`: how long from now."""

    @property
    def ends(self) -> bool:
        return self.state in ENDED


def after_run(job: Job, outcome: Outcome, *, now_us: int, jitter: float) -> Step:
    """Where a running job goes once a run of it has come out. `job` is its row as it is now."""
    same = Step(state="queued", attempts=job.attempts, crashes=job.crashes)
    match outcome:
        case Succeeded():
            return msgspec.structs.replace(same, state="succeeded")
        case Stopped():
            return msgspec.structs.replace(same, state="cancelled", failure=CANCELLED)
        case Failed(failure):
            return _after_failure(job, failure, now_us=now_us, jitter=jitter)
        case Lost():
            crashes = job.crashes + 1
            if job.cancel_requested:
                return msgspec.structs.replace(same, state="cancelled", crashes=crashes, failure=CANCELLED)
            if crashes >= CRASH_LIMIT:
                return msgspec.structs.replace(same, state="dead", crashes=crashes, failure=WORKER_LOST)
            return msgspec.structs.replace(same, crashes=crashes)
        case Released():
            if job.cancel_requested:
                return msgspec.structs.replace(same, state="cancelled", failure=CANCELLED)
            return same


def _after_failure(job: Job, failure: Failure, *, now_us: int, jitter: float) -> Step:
    attempts = job.attempts + (failure.blame != "outage")
    step = Step(state="dead", attempts=attempts, crashes=job.crashes, failure=failure)
    if job.cancel_requested:
        return msgspec.structs.replace(step, state="cancelled")
    if failure.blame == "final" or (failure.blame == "job" and attempts >= job.max_attempts):
        return step
    nth = attempts if failure.blame == "job" else max(1, job.runs - job.attempts - job.crashes)
    delay_us = round(wait_s(failure, nth=nth, jitter=jitter) * 1_000_000)
    if now_us + delay_us >= job.deadline_us:
        return step
    return msgspec.structs.replace(step, state="delayed", delay_us=delay_us)


def retried(job: Job) -> None:
    """Whether a job may be run once more from the beginning. Raises Conflict when not."""
    why = f"Job '{job.id}' is {job.status}: only one that is dead or cancelled can be retried."
    if job.state not in ENDED:
        raise Conflict(why, code="job_not_ended")
    if "queued" not in WAYS[job.state]:
        raise Conflict(why, code="job_succeeded")
