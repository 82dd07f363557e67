"""One run of one job: from the handler's first step to how it came out."""

import asyncio
from collections.abc import Callable
from typing import Final, Literal

from undercroft.errors import UndercroftError
from undercroft.jobs.handlers import Handler, JobContext
from undercroft.jobs.retry import failure_of
from undercroft.jobs.types import Failed, Failure, Job, Outcome, Released, Saying, Stopped, Succeeded
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.trace_context import under

Why = Literal["cancelled", "released", "fenced", "late"]
"""Why a run is broken off: its caller no longer wants it, this process winds down, somebody else has the job, or it
takes too long."""


class Execution:
    """A running handler. `on_end` hears once how it came out; None when nobody is to be told."""

    def __init__(self, job: Job, handler: Handler, on_end: "Callable[[Execution, Outcome | None], None]") -> None:
        self.job = job
        self.context = JobContext(job)
        self._stored = 0
        """How many pieces of its output are in the database."""
        self._stored_progress: str | None = None
        self._handler = handler
        self._on_end = on_end
        self._why: Why | None = None
        self.is_over = False
        self._timers: list[asyncio.TimerHandle] = []
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run())
        self._task.add_done_callback(self._ended_before_it_began)
        if job.soft_timeout_us:
            self._timers.append(loop.call_later(job.soft_timeout_us / 1_000_000, self.stop, "late"))
        if job.timeout_us:
            self._timers.append(loop.call_later(job.timeout_us / 1_000_000, self.give_up, "late"))

    def saying(self) -> Saying | None:
        """What the handler has said that is not in the database yet."""
        context = self.context
        pieces = tuple(context.pieces[self._stored :])
        progress = context.told if context.told != self._stored_progress else None
        return Saying(self.job, progress, self._stored, pieces) if pieces or progress is not None else None

    def note_said(self, saying: Saying) -> None:
        """It is in the database now."""
        self._stored = saying.first + len(saying.pieces)
        self._stored_progress = saying.progress or self._stored_progress

    def stop(self, why: Why) -> None:
        """Tells the handler to end. The first reason counts."""
        if self.is_over or self._why is not None:
            return
        self._why = why
        self.context.stop()
        self._task.cancel()

    def give_up(self, why: Why) -> None:
        """It has come out, whether or not the handler ends."""
        self.stop(why)
        self._end(self._broken_off())

    async def _run(self) -> None:
        try:
            outcome: Outcome | None = Succeeded(await self._handler.run(self.job, self.context))
        except asyncio.CancelledError:
            outcome = self._broken_off()
        except Exception as error:  # noqa: BLE001 - the outermost edge of a job
            outcome = self._broken_off() if self._why is not None else Failed(failure_of(error))
            if self._why is None and not isinstance(error, UndercroftError):
                with under(self.job.trace):
                    get_logger("undercroft.jobs").error(
                        "job_failed", job=self.job.id, kind=self.job.kind, exc_info=error
                    )
        self._end(outcome)

    def _ended_before_it_began(self, task: "asyncio.Task[None]") -> None:
        """A task that is cancelled before its first step runs none of its code."""
        if task.cancelled():
            self._end(self._broken_off())

    def _broken_off(self) -> Outcome | None:
        match self._why:
            case "cancelled":
                return Stopped()
            case "late":
                return Failed(LATE)
            case "fenced":
                return None
            case _:  # whoever cancels our tasks without a word takes the loop down
                return Released()

    def _end(self, outcome: Outcome | None) -> None:
        if self.is_over:
            return
        self.is_over = True
        for timer in self._timers:
            timer.cancel()
        self.context.close()
        self._on_end(self, outcome)


LATE: Final = Failure(code="job_timeout", message="The job took longer than it may.")
