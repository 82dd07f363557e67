"""A job's row as a value, and back."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from undercroft.jobs.types import Failure, Job, JobSpec

NAMES: Final = tuple(field.name for field in msgspec.structs.fields(Job))
COLUMNS: Final = ", ".join(NAMES)
OF_JOBS: Final = ", ".join(f"jobs.{name}" for name in NAMES)
"""The same where another table stands beside it."""
_TRUTHS: Final = NAMES.index("awaited")
"""SQLite knows numbers only; `cancel_requested` comes next."""
_encode = msgspec.json.Encoder().encode


def job_of(row: Sequence[Any]) -> Job:
    """The row, which holds COLUMNS in their order."""
    values = list(row)
    values[_TRUTHS : _TRUTHS + 2] = map(bool, values[_TRUTHS : _TRUTHS + 2])
    return Job(*values)


def jobs_of(rows: Sequence[Sequence[Any]]) -> list[Job]:
    return [job_of(row) for row in rows]


def values_of(spec: JobSpec) -> dict[str, Any]:
    """What an insert of this job says; state and times are the database's to say."""
    who, limits = spec.who, spec.limits
    return {
        "organisation": who.organisation,
        "id": spec.id,
        "team": who.team,
        "user_id": who.user,
        "key": who.key,
        "kind": spec.kind,
        "queue": spec.queue,
        "rank": -spec.priority,
        "lane": spec.lane,
        "input": spec.input.decode(),
        "max_attempts": limits.max_attempts,
        "lifetime_us": limits.lifetime_us,
        "soft_timeout_us": limits.soft_timeout_us,
        "timeout_us": limits.timeout_us,
        "run_at_us": spec.run_at_us,
        "idempotency_key": spec.idempotency_key,
        "fingerprint": spec.fingerprint,
        "unique_key": spec.unique_key,
        "webhook": spec.webhook,
        "schedule": spec.schedule,
        "trace": spec.trace,
    }


def new_job(spec: JobSpec, now_us: int) -> Job:
    """The row that an insert of this job makes at that moment, if it is plain (`repository.is_plain`)."""
    who, limits = spec.who, spec.limits
    run_at_us = max(spec.run_at_us, now_us)
    return Job(
        organisation=who.organisation,
        id=spec.id,
        team=who.team,
        user_id=who.user,
        key=who.key,
        kind=spec.kind,
        queue=spec.queue,
        rank=-spec.priority,
        lane=spec.lane,
        state="delayed" if spec.run_at_us > now_us else "queued",
        input=spec.input.decode(),
        token="",
        worker="",
        attempts=0,
        runs=0,
        crashes=0,
        max_attempts=limits.max_attempts,
        missing=0,
        awaited=False,
        cancel_requested=False,
        run_at_us=run_at_us,
        lifetime_us=limits.lifetime_us,
        deadline_us=run_at_us + limits.lifetime_us,
        soft_timeout_us=limits.soft_timeout_us,
        timeout_us=limits.timeout_us,
        lease_until_us=0,
        delivered_us=0,
        idempotency_key=spec.idempotency_key,
        fingerprint=spec.fingerprint,
        unique_key=spec.unique_key,
        webhook=spec.webhook,
        schedule=spec.schedule,
        trace=spec.trace,
        progress=None,
        result=None,
        error=None,
        created_us=now_us,
        started_us=0,
        finished_us=0,
    )


GIVEN: Final = (
    *("organisation", "id", "team", "user_id", "key", "kind", "queue", "rank", "lane", "input", "max_attempts"),
    *("lifetime_us", "soft_timeout_us", "timeout_us", "run_at_us", "idempotency_key", "fingerprint", "unique_key"),
    *("webhook", "schedule", "trace"),
)
"""The names of `values_of`."""
NUMBERS: Final = frozenset({"rank", "max_attempts", "lifetime_us", "soft_timeout_us", "timeout_us", "run_at_us"})
"""Those of them that are numbers; the rest is text."""


def error_of(failure: Failure | None) -> str | None:
    """For the column `error`."""
    return None if failure is None else _encode(failure).decode()
