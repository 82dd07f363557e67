"""A deterministic simulator: an event loop without a selector or a wall clock, whose every choice comes from a seed.

Ready callbacks run in an order the seed shuffles, and time jumps to the next timer when nothing is ready. The code
under test is the product's own; only clock, entropy, disk and database are simulated. A run is a pure function of its
seed, so a seed is a bug report: `digest` of two runs of one seed is equal.
"""

import asyncio
import hashlib
import heapq
import random
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

START_US = 1_767_225_600_000_000
"""2026-01-01 UTC: where simulated wall time begins."""


class Deadlock(AssertionError):
    """Everybody waits and no timer is set: the simulated program hangs."""


class Killed(BaseException):
    """Raised out of a call in the middle of which its process died; nothing of the process runs after that."""


class SimulatedProcess:
    """What can be killed or stopped as a whole: every task begun inside belongs to it, and those that they begin."""

    def __init__(self, loop: "SimulatedLoop") -> None:
        self._loop = loop
        self.is_killed = False
        self.is_stopped = False
        self.crashes: list[BaseException] = []
        """What its tasks ended in that was not the simulator's doing."""
        self.withheld: list[asyncio.Handle] = []

    @property
    def runs(self) -> bool:
        return not (self.is_killed or self.is_stopped)

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Begins a task of this process."""
        context = Context()
        context.run(_process.set, self)
        task = self._loop.create_task(work, context=context)
        task.add_done_callback(self._ended)
        return task

    def kill(self) -> None:
        """As kill -9 does: no `except` and no `finally` of it runs any more."""
        self.is_killed = True

    def stop(self) -> None:
        """As SIGSTOP does: time goes on without it."""
        self.is_stopped = True

    def resume(self) -> None:
        self.is_stopped = False
        self.release()

    def release(self) -> None:
        """What would have run meanwhile runs next."""
        self._loop._ready.extend(self.withheld)
        self.withheld.clear()

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Killed):
            self.crashes.append(error)


_process: ContextVar[SimulatedProcess | None] = ContextVar("simulated process", default=None)


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop over virtual time. It relies on BaseEventLoop's `_ready` and `_scheduled`, stable since 3.4."""

    _ready: Any
    _scheduled: list[Any]

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = random.Random(seed)
        self.steps = 0
        self._now = 0.0
        self._trace = hashlib.blake2b(digest_size=8)
        self._clock_resolution = 1e-9
        self._is_over = False
        self._stalled: dict[int, SimulatedProcess] = {}
        """Processes with something withheld, in the order in which that began."""

    def finish(self) -> None:
        """Lets killed and stopped processes run again, so that their tasks can be taken down."""
        self._is_over = True
        for process in self._stalled.values():
            process.release()

    def time(self) -> float:
        return self._now

    @property
    def digest(self) -> str:
        """What happened, in short: equal for equal runs."""
        return self._trace.hexdigest()

    def call_soon_threadsafe(  # type: ignore[override]  # as below
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]  # the superclass' TypeVarTuple says no more than this
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """A thread's work is done in one step after a random delay: the loop sees it finish at some later moment."""
        future: asyncio.Future[Any] = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 - an executor hands on whatever was raised
                future.set_exception(error)

        self.call_later(self.rng.uniform(0.0001, 0.01), work)
        return future

    def _process_events(self, event_list: Any) -> None:
        """There is no selector."""

    def _write_to_self(self) -> None:
        """There is nobody else to wake this loop."""

    def _run_once(self) -> None:
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not self._ready:
            if not scheduled:
                raise Deadlock(f"everybody waits at {self._now:.3f} s, after {self.steps} steps")
            self._now = max(self._now, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._now:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            if not timer._cancelled:
                self._ready.append(timer)
        ready = list(self._ready)
        self._ready.clear()
        self.rng.shuffle(ready)
        for handle in ready:
            if handle._cancelled:
                continue
            process = handle._context.get(_process)
            if process is not None and not process.runs and not self._is_over:
                self._stalled[id(process)] = process
                process.withheld.append(handle)
                continue
            self.steps += 1
            handle._run()
        self._trace.update(b"%d;%.9f" % (len(ready), self._now))


class SimulatedClock:
    """The loop's time as undercroft's Clock."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now_us(self) -> int:
        return START_US + round(self._loop.time() * 1_000_000)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float, /) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Run(Generic[T]):
    """What came of one seed."""

    seed: int
    result: T
    virtual_s: float
    steps: int
    digest: str


def simulate(seed: int, world: Callable[[SimulatedLoop], Coroutine[Any, Any, T]]) -> Run[T]:
    """Runs `world(loop)` to its end on virtual time and takes down whatever still runs."""
    loop = SimulatedLoop(seed)
    loop.set_exception_handler(_report)
    asyncio.set_event_loop(loop)
    try:
        result = loop.run_until_complete(world(loop))
        return Run(seed=seed, result=result, virtual_s=loop.time(), steps=loop.steps, digest=loop.digest)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.finish()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Nobody is left to be told that a task's process was killed."""
    if not isinstance(context.get("exception"), Killed):
        loop.default_exception_handler(context)
