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
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

START_US = 1_767_225_600_000_000
"""2026-01-01 UTC: where simulated wall time begins."""


class Deadlock(AssertionError):
    """Everybody waits and no timer is set: the simulated program hangs."""


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
            if not handle._cancelled:
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
    asyncio.set_event_loop(loop)
    try:
        result = loop.run_until_complete(world(loop))
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        return Run(seed=seed, result=result, virtual_s=loop.time(), steps=loop.steps, digest=loop.digest)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
