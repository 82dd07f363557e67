"""What the batches routes work with: where batches are handed in, and what sees them through in this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from undercroft.assembly.beside import beside
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.events import EventDesk
from undercroft.assembly.files import FileOffice
from undercroft.assembly.jobs import JobOffice
from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.ids import Ids
from undercroft.settings.model import Settings

if TYPE_CHECKING:
    from undercroft.batches.desk import BatchDesk
    from undercroft.batches.tending import Tending
    from undercroft.files.cabinet import Cabinet

WAKE_S: Final = 0.05
"""Lines that end one after the other are looked at together."""


class BatchOffice:
    """Batches of this process, whatever the configuration becomes."""

    def __init__(
        self,
        settings: Settings,
        *,
        link: DatabaseLink,
        files: FileOffice,
        jobs: JobOffice,
        events: EventDesk,
        ids: Ids,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._link = link
        self._files = files
        self._jobs = jobs
        self._events = events
        self._ids = ids
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._desk: BatchDesk | None = None
        self._tending: Tending | None = None
        self._waking: asyncio.TimerHandle | None = None
        self._is_there = asyncio.Event()
        self._why_closed = "The server is shutting down."
        jobs.items_recorded = self._recorded

    async def desk(self) -> "BatchDesk":
        """Raises Unavailable while the database is away."""
        await self._is_there.wait()
        self._link.database()
        if self._desk is None:
            raise Unavailable(self._why_closed, code="interrupted")
        return self._desk

    @contextlib.asynccontextmanager
    async def running(self, *, is_frozen: bool = False) -> AsyncIterator[None]:
        """Takes batches for as long as the block lasts and, where the process runs jobs, sees them through."""
        if is_frozen:
            self._why_closed = "Batches are taken by servers, not by functions, which end with each answer."
            self._is_there.set()
            yield
            return
        async with beside(self._run, opened=self._is_there, close=self._close):
            yield

    def _close(self) -> None:
        self._desk = self._tending = None
        self._is_there.set()

    async def _run(self, stop: asyncio.Event) -> None:
        await self._link.first_look()
        # Imported here, with SQLAlchemy, once the port has long been answering.
        from undercroft.batches.desk import BatchDesk

        files = self._files.opened()
        self._desk = BatchDesk(self._link, files, wake=self._wake, ids=self._ids, clock=self._clock)
        self._is_there.set()
        if not self._settings.runs_jobs:
            await stop.wait()
            return
        self._tending = await self._made(files)
        working = asyncio.ensure_future(self._tending.run())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait([stopping, working], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working

    async def _made(self, files: "Cabinet") -> "Tending":
        from undercroft.assembly.job_effects import ToldEffects
        from undercroft.batches.duty import Duty
        from undercroft.batches.steps import Steps
        from undercroft.batches.tending import Tending

        outbox = await self._events.outbox()
        duty = Duty(self._link, holder=self._ids.new("holder_"), clock=self._clock)
        steps = Steps(
            duty,
            files,
            self._jobs.open_desk,
            self._jobs.batch_items,
            database=self._link,
            effects=ToldEffects(outbox, recorded=self._recorded),
            outbox=outbox,
            clock=self._clock,
        )
        return Tending(self._link, duty, steps, clock=self._clock, stamp=self._link.stamp)

    def _recorded(self) -> None:
        """Some line is about to have come to something: looked at a moment later, or at the next turn."""
        self._loop.call_soon_threadsafe(self._wake_soon)

    def _wake_soon(self) -> None:
        if self._waking is None:
            self._waking = self._loop.call_later(WAKE_S, self._wake)

    def _wake(self) -> None:
        self._waking = None
        if self._tending is not None:
            self._tending.wake()
