"""What `/metrics` says of jobs: how many ended how, how long they waited, and how many run."""

from collections.abc import Callable
from typing import Final

from undercroft.clock import Clock
from undercroft.jobs.handlers import Handlers
from undercroft.jobs.types import Job
from undercroft.telemetry.instruments import OTHER
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.metrics import US_PER_S, Metrics

WAIT_BOUNDS_US: Final = tuple(
    round(seconds * US_PER_S) for seconds in (0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 30, 120, 600, 3600)
)

DURATION_BOUNDS_US: Final = tuple(
    round(seconds * US_PER_S) for seconds in (0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600, 14_400)
)


class JobMetrics:
    """The series, all of which the crew's watcher feeds."""

    def __init__(self, metrics: Metrics, *, clock: Clock) -> None:
        self._clock = clock
        self._ended = metrics.counter(
            "ai_jobs_total",
            "Runs of jobs by what became of the job: succeeded, waiting, dead, cancelled, queued, or fenced.",
            ("kind", "queue", "outcome"),
        )
        self._running = metrics.gauge("ai_jobs_running", "Jobs that run right now.", ("kind", "queue"))
        self._waited = metrics.histogram(
            "ai_job_wait_seconds",
            "From a job's time to the beginning of its run.",
            ("queue",),
            bounds=WAIT_BOUNDS_US,
        )

        self._took = metrics.histogram(
            "ai_job_duration_seconds",
            "How long a run of a job takes.",
            ("kind", "queue"),
            bounds=DURATION_BOUNDS_US,
        )

    def watching(self, handlers: Handlers, delayed: Callable[[int], None]) -> "JobWatcher":
        """A crew's watcher. `delayed` is told of jobs whose time is yet to come."""
        return JobWatcher(self, handlers, delayed)

    def began(self, kind: str, job: Job) -> None:
        self._running.labels(kind, job.queue).add(1)
        self._waited.labels(job.queue).observe(max(0, job.started_us - job.run_at_us))

    def ended(self, kind: str, job: Job, outcome: str) -> None:
        self._running.labels(kind, job.queue).add(-1)
        self._ended.labels(kind, job.queue, outcome).add()
        self._took.labels(kind, job.queue).observe(max(0, self._clock.now_us() - job.started_us))


class JobWatcher:
    """Counts what a crew does."""

    def __init__(self, metrics: JobMetrics, handlers: Handlers, delayed: Callable[[int], None]) -> None:
        self._metrics = metrics
        self._handlers = handlers
        self._delayed = delayed

    def began(self, job: Job, /) -> None:
        self._metrics.began(self._kind(job), job)

    def ended(self, job: Job, /) -> None:
        self._metrics.ended(self._kind(job), job, job.status)

    def fenced(self, job: Job, /) -> None:
        self._metrics.ended(self._kind(job), job, "fenced")
        get_logger("undercroft.jobs").warning("run_was_not_ours", job=job.id, run=job.runs)

    def delayed(self, delay_us: int, /) -> None:
        self._delayed(delay_us)

    def _kind(self, job: Job) -> str:
        return job.kind if job.kind in self._handlers.kinds else OTHER
