"""Jobs between the desk and the wire: what is asked for, and how they are told."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from undercroft.clock import rfc3339
from undercroft.jobs.types import Job
from undercroft.record import Who
from undercroft.wire import jobs as wire

if TYPE_CHECKING:
    from undercroft.events.repository import DeliveryView
    from undercroft.jobs.desk import Desk, Wanted


def wanted_of(asked: wire.JobRequest, *, idempotency_key: str | None, trace: str) -> "Wanted":
    """What the desk is asked for. Raises InvalidRequest."""
    from undercroft.jobs.desk import Wanted

    return Wanted(
        kind=asked.kind,
        input=bytes(asked.input),
        queue=asked.queue,
        priority=asked.priority,
        run_at_us=wire.moment_us(asked.run_at, param="run_at") if asked.run_at is not None else 0,
        max_attempts=asked.max_attempts,
        timeout_us=_us(asked.timeout_s),
        lifetime_us=_us(asked.deadline_s),
        idempotency_key=idempotency_key,
        unique_key=asked.unique_key,
        concurrency_key=asked.concurrency_key,
        after=tuple(asked.after),
        webhook=asked.webhook or "",
        trace=trace,
    )


def view_of(job: Job) -> wire.JobView:
    failure = job.failure
    return wire.JobView(
        id=job.id,
        kind=job.kind,
        status=job.status,
        queue=job.queue,
        priority=-job.rank,
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        runs=job.runs,
        cancel_requested=job.cancel_requested,
        created_at=rfc3339(job.created_us),
        run_at=rfc3339(job.run_at_us),
        started_at=rfc3339(job.started_us) if job.started_us else None,
        finished_at=rfc3339(job.finished_us) if job.finished_us else None,
        deadline_at=rfc3339(job.deadline_us),
        progress=wire.raw(job.progress),
        result=wire.raw(job.result),
        error=wire.JobError(code=failure.code, message=failure.message) if failure is not None else None,
        schedule=job.schedule or None,
        webhook=job.webhook or None,
    )


def delivery_of(found: "DeliveryView") -> wire.JobDelivery:
    return wire.JobDelivery(
        event=found.event,
        type=found.type,
        state=found.state,
        attempts=found.attempts,
        next_attempt_at=rfc3339(found.due_us) if found.state == "pending" else None,
        status=found.status or None,
        error=found.error,
    )


class Following:
    """A job's news as frames of an event stream."""

    def __init__(self, desk: "Desk", who: Who, id: str, *, after: int) -> None:
        self._desk, self._who, self._id, self._after = desk, who, id, after

    async def news(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._desk.follow(self._who, self._id, after=self._after)) as news:
            async for each in news:
                if each.job is not None:
                    yield wire.event("status", wire.encode(view_of(each.job)))
                else:
                    number = each.number if each.name == "output" else None
                    yield wire.event(each.name, each.text.encode(), number=number)


def _us(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, round(seconds * 1_000_000))
