"""What the jobs routes work with: where jobs are handed in, and what runs them in this process."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from undercroft.assembly.batch_items import BatchItems
from undercroft.assembly.beside import beside
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.evaluation_job import EvaluationHandler
from undercroft.assembly.events import EventDesk
from undercroft.assembly.job_kinds import built_in
from undercroft.assembly.job_metrics import JobMetrics
from undercroft.assembly.lending import Line, lent
from undercroft.assembly.releases import LiveBook
from undercroft.assembly.reloads import UnderWay
from undercroft.assembly.responses import Responses
from undercroft.assembly.telemetry import Telemetry
from undercroft.assembly.traced_jobs import TracedJobs
from undercroft.clock import Clock
from undercroft.errors import ConfigurationError, InvalidRequest, Unavailable
from undercroft.gateway.gateway import Gateway
from undercroft.ids import Ids
from undercroft.jobs.functions import FunctionHandler, functions_in
from undercroft.jobs.handlers import Handler, Handlers, JobContext
from undercroft.jobs.types import Job, Limits
from undercroft.record import Who
from undercroft.settings.model import Jobs as JobsSettings
from undercroft.settings.model import JobSchedule, Settings
from undercroft.telemetry.logs import get_logger

if TYPE_CHECKING:
    from undercroft.jobs.crew import Crew
    from undercroft.jobs.desk import Desk


class JobOffice:
    """Jobs of this process, whatever the configuration becomes: the desk, and the crew where it has the role."""

    def __init__(
        self,
        settings: Settings,
        *,
        link: DatabaseLink,
        events: EventDesk,
        book: LiveBook,
        ids: Ids,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        """Raises ConfigurationError for modules, kinds and cron lines that cannot be used."""
        self._settings = settings
        self._link = link
        self._events = events
        self._ids = ids
        self._clock = clock
        self._metrics = JobMetrics(telemetry.metrics, clock=clock)
        self.tracing = telemetry.tracing
        self._gateway: Gateway | None = None
        self._responses: Responses | None = None
        self._under_way = UnderWay()
        self._desk: Desk | None = None
        self._crew: Crew | None = None
        self._is_there = asyncio.Event()
        self._why_closed = "The server is shutting down."
        limits = limits_of(settings.jobs)
        self.batch_items = BatchItems(limits=limits, in_force=self, ids=ids, clock=clock)
        self.items_recorded: Callable[[], None] = lambda: None
        """Called, in any thread, when lines of batches will soon have come to something."""
        evaluations = EvaluationHandler(settings, limits=limits, in_force=self, book=book, ids=ids, clock=clock)
        kinds: list[Handler] = [
            self.batch_items,
            evaluations,
            *built_in(limits=limits, in_force=self, ids=ids, clock=clock),
        ]
        self.handlers = Handlers(TracedJobs(handler, self.tracing) for handler in kinds)
        for name in settings.jobs.modules:
            _load(name, self, limits)
        for schedule in settings.jobs.schedules:
            _check_schedule(schedule, self.handlers)

    def answer_with(self, gateway: Gateway, responses: Responses, under_way: UnderWay) -> None:
        """From now on jobs call models under this configuration."""
        self._gateway, self._responses, self._under_way = gateway, responses, under_way

    def line(self, who: Who) -> Line:
        """What a function of the user's own asks models through. Only on the event loop."""
        return Line(
            gateway=self.gateway(),
            ids=self._ids,
            clock=self._clock,
            timeout_s=self._settings.jobs.timeout_s,
            loop=asyncio.get_running_loop(),
            who=who,
        )

    def gateway(self) -> Gateway:
        assert self._gateway is not None, "nothing is accepted before a configuration is in force"
        return self._gateway

    def responses(self) -> Responses:
        assert self._responses is not None, "nothing is accepted before a configuration is in force"
        return self._responses

    def begin(self) -> UnderWay:
        """A call is under way: a configuration that follows waits for it. `end` is the result's."""
        self._under_way.begin()
        return self._under_way

    async def desk(self) -> "Desk":
        """Raises Unavailable while the database is away."""
        await self._is_there.wait()
        self._link.database()
        return self.open_desk()

    def open_desk(self) -> "Desk":
        """The same at once, for who works beside it. Raises Unavailable while it is not open."""
        if self._desk is None:
            raise Unavailable(self._why_closed, code="interrupted")
        return self._desk

    def give(self, jobs: Sequence[tuple[str, str]]) -> None:
        """These were delivered to this process, by organisation and id."""
        if self._crew is not None:
            self._crew.give(jobs)

    @contextlib.asynccontextmanager
    async def running(self, *, is_frozen: bool = False) -> AsyncIterator[None]:
        """Takes and runs jobs for as long as the block lasts. A process that is frozen between requests takes none."""
        if is_frozen:
            self._why_closed = "Jobs are taken by servers, not by functions, which end with each answer."
            self._is_there.set()
            yield
            return
        async with beside(self._run, opened=self._is_there, close=self._close):
            yield

    def _close(self) -> None:
        self._desk = None
        self._is_there.set()

    async def _run(self, stop: asyncio.Event) -> None:
        await self._link.first_look()
        try:
            await self._work(stop)
        except OSError as error:  # the files that prove this worker alive cannot be made
            self._why_closed = f"Jobs are not taken: {error.filename} cannot be written ({error.strerror})."
            get_logger("undercroft.jobs").error("jobs_not_taken", reason=self._why_closed)

    async def _work(self, stop: asyncio.Event) -> None:
        # Imported here, with SQLAlchemy, once the port has long been answering.
        from undercroft.assembly.job_effects import ToldEffects
        from undercroft.assembly.job_workshop import workshop

        outbox = await self._events.outbox()
        async with workshop(
            self._settings,
            database=self._link,
            handlers=self.handlers,
            effects=ToldEffects(outbox, recorded=self.items_recorded),
            metrics=self._metrics,
            ids=self._ids,
            clock=self._clock,
        ) as working:
            self._desk, self._crew = working.desk, working.crew
            self._is_there.set()
            stopping = asyncio.ensure_future(stop.wait())
            await asyncio.wait([stopping, *working.tasks], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            self._desk = self._crew = None


def limits_of(jobs: JobsSettings) -> Limits:
    """What a job may take where neither it nor its kind says otherwise."""
    return Limits(lifetime_us=round(jobs.deadline_s * 1_000_000), timeout_us=round(jobs.timeout_s * 1_000_000))


class _Lending:
    """Runs a function of the user's own; `undercroft.generate` in it asks through this process's gateway."""

    def __init__(self, function: FunctionHandler, office: JobOffice) -> None:
        self.kind = function.kind
        self.limits = function.limits
        self._function = function
        self._office = office

    def check(self, input: bytes, /) -> str:
        return self._function.check(input)

    async def run(self, job: Job, context: JobContext, /) -> bytes:
        with lent(self._office.line(job.who)):
            return await self._function.run(job, context)


def _load(name: str, office: JobOffice, usual: Limits) -> None:
    """Imports a module of the operator's, from the working directory too, as `python -m` would."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = import_module(name)
    except ImportError as error:
        raise ConfigurationError(
            f"[jobs] modules names {name!r}, which cannot be imported: {error}.",
            hint="Modules are looked for in the working directory and among the installed packages.",
        ) from error
    for handler in functions_in(module, usual):
        if handler.kind in office.handlers.kinds:
            raise ConfigurationError(f"{name} has a job {handler.kind!r}, and there is one of that name already.")
        office.handlers.add(TracedJobs(_Lending(handler, office), office.tracing))


def _check_schedule(schedule: JobSchedule, handlers: Handlers) -> None:
    from undercroft.jobs.cron import check_cron

    try:
        check_cron(schedule.cron, schedule.timezone)
        if schedule.kind not in handlers.kinds:
            handlers.find(schedule.kind)
    except (ConfigurationError, InvalidRequest) as error:
        raise ConfigurationError(f"[[jobs.schedules]] {schedule.name}: {error.message}", hint=error.hint) from error
