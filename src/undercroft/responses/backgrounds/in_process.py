"""Background responses in this process: a task each, which neither needs its caller nor outlives the server.

The row is the response: it says who answers it and until when that is to be believed, so that nobody waits for a
process that is gone. A durable queue may take this one's place (`responses/background.py`).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

from undercroft.clock import Clock, beat
from undercroft.errors import Unavailable
from undercroft.responses import repository
from undercroft.responses.background import Answering
from undercroft.responses.shelf import LOST, Shelf, Transactions
from undercroft.responses.types import Kept, Order, Told
from undercroft.telemetry.logs import get_logger
from undercroft.wire.openai.responses import (
    ACTIVE,
    Ended,
    ResponseFailure,
    announced,
    is_last_event,
    last_event,
    stopped,
)

LEASE_S: Final = 10.0
BEAT_S: Final = 1.0
"""How often leases are renewed, and how soon a response that was cancelled at another process is given up here."""
FLUSH_S: Final = 0.5
"""How often events go to the database, for those who follow from another process or come later."""
POLL_S: Final = 0.25
SETTLE_TRIES: Final = 10
SWEEP_S: Final = 600.0
STOP_S: Final = 5.0
"""How long shutting down waits for the ends to be written."""


class Run:
    """One response in the making: its events so far, and whoever waits for more."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.frames: list[bytes] = _frames(announced(order.queued))
        self.stored = 0
        """How many of them are in the database."""
        self.is_over = False
        self.cancelled = False
        """By its caller; else a cancelled task means that the server stops."""
        self.is_settling = False
        """Its end is being written."""
        self.task: asyncio.Task[None] | None = None
        self._grown = asyncio.Event()

    def grow(self, events: bytes) -> None:
        self.frames += _frames(events)
        self._wake()

    def end(self) -> None:
        self.is_over = True
        self._wake()

    def stop(self) -> None:
        """Ends it early, unless it has come to its end already."""
        if self.task is not None and not self.is_settling:
            self.task.cancel()

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def more(self) -> None:
        """Returns when there are more events, or the last has been."""
        if not self.is_over:
            await self._grown.wait()


class InProcess:
    """A Background of tasks."""

    def __init__(
        self,
        database: Transactions,
        shelf: Shelf,
        answering: Answering,
        *,
        owner: str,
        at_once: int,
        queue: int,
        timeout_s: float,
        clock: Clock,
    ) -> None:
        self._database = database
        self._shelf = shelf
        self._answering = answering
        self._owner = owner
        """One life of one process."""
        self._turns = asyncio.Semaphore(at_once)
        self._queue = queue
        self._timeout_s = timeout_s
        self._clock = clock
        self._runs: dict[tuple[str, str], Run] = {}
        self._is_closing = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answers for as long as the block lasts; what is not answered by then has failed."""
        beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            self._is_closing = True
            tasks = [run.task for run in self._runs.values() if run.task is not None]
            for run in self._runs.values():
                run.stop()
            if tasks:
                await asyncio.wait(tasks, timeout=STOP_S)
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def accept(self, order: Order, kept: Kept, /) -> None:
        if self._is_closing or len(self._runs) >= self._queue:
            raise Unavailable(
                "No more background responses are taken at the moment.",
                code="background_full",
                retry_after_s=1,
                hint="[responses] background_queue sets how many may wait.",
            )
        run = Run(order)
        key = (order.who.organisation, order.id)
        self._runs[key] = run
        try:
            now_us, lease_us = self._clock.now_us(), round(LEASE_S * 1_000_000)
            keep = partial(repository.keep, kept=kept, owner=self._owner, lease_us=lease_us, now_us=now_us)
            await self._database.write(keep)
        except BaseException:
            del self._runs[key]
            raise
        run.task = asyncio.create_task(self._run(run, key))
        await asyncio.sleep(0)  # a task that is cancelled before its first step would never tell of its end

    async def follow(self, kept: Kept, /, *, after: int) -> AsyncGenerator[bytes, None]:
        organisation, response_id = kept.who.organisation, kept.ended.id
        run = self._runs.get((organisation, response_id))
        if run is None:
            async for frame in self._follow_stored(organisation, response_id, after=after):
                yield frame
            return
        place = after + 1
        while True:
            for frame in run.frames[place:]:
                yield frame
            place = max(place, len(run.frames))
            if run.is_over and place >= len(run.frames):
                return
            await run.more()

    async def cancel(self, kept: Kept, /) -> None:
        organisation, response_id = kept.who.organisation, kept.ended.id
        run = self._runs.get((organisation, response_id))
        if run is not None and run.task is not None:
            run.cancelled = True
            run.stop()
            await asyncio.wait({run.task})
            return
        # Another process answers it: its next beat will tell it.
        ended = stopped(kept.ended.body, "cancelled")
        await self._database.write(partial(repository.change, ended=ended, organisation=organisation))

    async def _follow_stored(self, organisation: str, id: str, *, after: int) -> AsyncGenerator[bytes, None]:
        last = b""
        while True:
            kept = await self._shelf.find(organisation, id)  # before its events: the last come with the end
            read = partial(repository.events_after, organisation=organisation, id=id, after=after)
            for first, stored in await self._database.read(read):
                for number, frame in enumerate(_frames(stored), start=first):
                    if number > after:
                        after, last = number, frame
                        yield frame
            if kept.ended.status not in ACTIVE:
                if kept.ended.status in ("failed", "cancelled") and not is_last_event(last):
                    yield last_event(kept.ended, number=after + 1)
                return
            await self._clock.sleep(POLL_S)

    async def _run(self, run: Run, key: tuple[str, str]) -> None:
        try:
            try:
                told = await self._answer(run)
            except asyncio.CancelledError:
                told = self._broken(run, None if run.cancelled else LOST)
            except TimeoutError:
                message = f"The response took longer than {self._timeout_s:g} s."
                told = self._broken(run, ResponseFailure(code="server_error", message=message))
            except Exception as error:  # noqa: BLE001 - the outermost edge of a background response
                get_logger("undercroft.responses").error("response_failed", response=run.order.id, exc_info=error)
                failure = ResponseFailure(code="server_error", message="The server could not answer: internal error.")
                told = self._broken(run, failure)
            await self._settle(run, told)
        finally:
            run.end()
            del self._runs[key]

    async def _answer(self, run: Run) -> Told:
        """The last that is told."""
        flushed = self._clock.monotonic()
        async with self._turns, asyncio.timeout(self._timeout_s):
            begun = stopped(run.order.queued, "in_progress")
            await self._flush(run, begun)
            async with aclosing(self._answering(run.order)) as telling:
                async for told in telling:
                    if told.ended is not None:
                        return told
                    run.grow(told.events)
                    if self._clock.monotonic() - flushed >= FLUSH_S:
                        flushed = self._clock.monotonic()
                        await self._flush(run, begun)
        raise AssertionError("an answering says how it ends")

    async def _flush(self, run: Run, begun: Ended) -> None:
        """Lets others see how far it has come; what the database cannot take now, it gets with the next."""
        try:
            await self._change(run, begun)
        except Unavailable as error:
            get_logger("undercroft.responses").debug("events_not_written", response=run.order.id, reason=str(error))

    async def _change(self, run: Run, ended: Ended, *, last: Sequence[bytes] = (), is_relayed: bool = False) -> bool:
        """False when somebody else has ended it."""
        fresh = run.frames[run.stored :]
        change = partial(
            repository.change,
            ended=ended,
            organisation=run.order.who.organisation,
            is_relayed=is_relayed,
            events=(run.stored, [*fresh, *last]),
        )
        is_ours = await self._database.write(change)
        run.stored += len(fresh)
        return is_ours

    def _broken(self, run: Run, why: ResponseFailure | None) -> Told:
        ended = stopped(run.order.queued, "cancelled" if why is None else "failed", why=why)
        return Told(last_event(ended, number=len(run.frames)), ended)

    async def _settle(self, run: Run, told: Told) -> None:
        """Writes the end before it is told, so that who has read it finds it. What cannot be written has failed: its
        lease runs out."""
        assert told.ended is not None
        run.is_settling = True
        last = _frames(told.events)
        for attempt in range(SETTLE_TRIES):
            try:
                is_ours = await self._change(run, told.ended, last=last, is_relayed=told.is_relayed)
            except Unavailable as error:
                get_logger("undercroft.responses").warning(
                    "response_not_written", response=run.order.id, attempt=attempt + 1, reason=str(error)
                )
                if self._is_closing:
                    break
                await self._clock.sleep(1.0)
            else:
                run.grow(told.events if is_ours else self._broken(run, None).events)
                return
        run.grow(self._broken(run, LOST).events)

    async def _beat(self) -> None:
        swept = self._clock.monotonic() - SWEEP_S
        while True:
            try:
                await self._renew()
                if self._clock.monotonic() - swept >= SWEEP_S:
                    swept = self._clock.monotonic()
                    while await self._shelf.forget_expired(holder=self._owner):
                        pass
            except Unavailable as error:
                get_logger("undercroft.responses").debug("responses_not_renewed", reason=str(error))
            await beat(self._clock, BEAT_S)

    async def _renew(self) -> None:
        """Renews all leases; gives up what was ended elsewhere."""
        if not self._runs:
            return
        running = {key: run for key, run in self._runs.items() if run.task is not None}
        renew = partial(repository.renew, owner=self._owner, lease_us=round(LEASE_S * 1_000_000))
        alive = await self._database.write(partial(renew, now_us=self._clock.now_us()))
        for (_, response_id), run in running.items():
            if response_id not in alive:
                run.cancelled = True
                run.stop()


def _frames(events: bytes) -> list[bytes]:
    """One by one: an event ends with an empty line and has none inside."""
    return [event + b"\n\n" for event in events.split(b"\n\n") if event]
