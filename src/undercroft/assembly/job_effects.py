"""What becomes of jobs, told as events in the transaction that makes it so."""

from collections.abc import Sequence

from sqlalchemy import Connection

from undercroft.events.outbox import Outbox
from undercroft.events.types import Fact, JobData
from undercroft.jobs.effects import JobEvent


class ToldEffects:
    """Effects that are written to the outbox."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def append(self, connection: Connection, events: Sequence[JobEvent], /) -> None:
        self._outbox.append(connection, *(_fact(event) for event in events))


def _fact(event: JobEvent) -> Fact:
    job = event.job
    failure = job.failure
    data = JobData(
        id=job.id,
        kind=job.kind,
        queue=job.queue,
        attempts=job.attempts,
        error=failure.code if failure is not None else "",
    )
    return Fact(event.name, data, job.organisation)
