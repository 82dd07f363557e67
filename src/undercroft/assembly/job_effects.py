"""What becomes of jobs, told in the transaction that makes it so: as events or, of a batch's jobs, to their batch."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from undercroft.batches import recording
from undercroft.events.outbox import Outbox
from undercroft.events.types import Fact, JobData
from undercroft.jobs.effects import JobEvent
from undercroft.jobs.types import ENDED


class ToldEffects:
    """Effects that are written to the outbox. The jobs of a batch are not told one by one: the batch is."""

    def __init__(self, outbox: Outbox, *, recorded: Callable[[], None] = lambda: None) -> None:
        """`recorded` is called, in any thread, when lines of batches will soon have come to something."""
        self._outbox = outbox
        self._recorded = recorded

    def append(self, connection: Connection, events: Sequence[JobEvent], /) -> None:
        items = [event.job for event in events if recording.is_item(event.job) and event.job.state in ENDED]
        if items:
            recording.record(connection, items)
            self._recorded()
        facts = [_fact(event) for event in events if not recording.is_item(event.job)]
        if facts:
            self._outbox.append(connection, *facts)


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
    return Fact(event.name, data, job.organisation, address=job.webhook if job.state in ENDED else "")
