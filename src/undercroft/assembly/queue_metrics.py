"""What `/metrics` says of the queues: how many jobs wait in each, and for how long the oldest has."""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from undercroft.assembly.beside import alongside
from undercroft.assembly.database import DatabaseLink
from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.telemetry.metrics import US_PER_S, Metrics

if TYPE_CHECKING:
    from undercroft.jobs.depth import Depth

EVERY_S: Final = 5.0


class QueueMetrics:
    """The series; every process that has the database looks for itself, and all see the same."""

    def __init__(self, metrics: Metrics, *, clock: Clock) -> None:
        self._clock = clock
        self._depth = metrics.gauge(
            "ai_job_queue_depth", "Jobs that have not ended, by state.", ("queue", "state"), merge="max"
        )
        self._age = metrics.gauge(
            "ai_job_queue_age_seconds",
            "For how long the oldest job that could run has waited to.",
            ("queue",),
            scale=US_PER_S,
            merge="max",
        )
        self._dead = metrics.gauge("ai_jobs_dead", "Dead jobs that are kept.", ("queue",), merge="max")
        self._shown: set[tuple[str, str]] = set()

    def show(self, depths: "list[Depth]") -> None:
        """As it is now; what is not there any more is at 0."""
        found = {(each.queue, each.state) for each in depths}
        for queue, state in self._shown - found:
            if state == "dead":
                self._dead.labels(queue).set(0)
                continue
            self._depth.labels(queue, state).set(0)
            if state == "queued":
                self._age.labels(queue).set(0)
        self._shown = found
        for each in depths:
            if each.state == "dead":
                self._dead.labels(each.queue).set(each.jobs)
                continue
            self._depth.labels(each.queue, each.state).set(each.jobs)
            if each.state == "queued":
                self._age.labels(each.queue).set(max(0, self._clock.now_us() - each.oldest_us))


@contextlib.asynccontextmanager
async def watching_queues(metrics: Metrics, link: DatabaseLink, *, clock: Clock) -> AsyncIterator[None]:
    """Looks at the queues every few seconds, beside the block. While the database is away the last look stands."""
    series = QueueMetrics(metrics, clock=clock)

    async def run() -> None:
        await link.first_look()
        # Imported here, with SQLAlchemy, once the port has long been answering.
        from undercroft.jobs.depth import depths

        while True:
            with contextlib.suppress(Unavailable):  # /health and the log say so
                series.show(await link.read(depths))
            await clock.sleep(EVERY_S)

    async with alongside(run(), raises=False):
        yield
