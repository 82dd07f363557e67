"""Measures a server: times of single requests, CPU in bursts, and what it does under load."""

import math
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from undercroft.clock import Clock
from undercroft.errors import UndercroftError
from undercroft.planning.verification import machine
from undercroft.planning.verification.cases import Case
from undercroft.planning.verification.load import Arrival, Generator, Outcome, poisson
from undercroft.planning.verification.prediction import Calibration, CpuCost

T = TypeVar("T")

WARM_UP: Final = 20
FEWEST: Final = 12
"""Samples of each kind; fewer say nothing about a percentile."""
QUIET_RATE: Final = 40.0
"""Requests a second that do not meet each other, for answers that mostly wait."""
BURSTS: Final = 6
BURST_S: Final = 1.5
LEAST_S: Final = 1e-6
"""CPU of a request, where it is too little to be seen."""
IDLE_LOOKS: Final = 4
MOST_AT_ONCE: Final = 1500
MOST_FAILURES: Final = 0.01


class Unusable(UndercroftError):
    """The server under load did not answer as it should: nothing can be said about it."""

    code = "verification_failed"


@dataclass(frozen=True, slots=True)
class Used:
    """What the server's processes used during something, over what they use when idle."""

    cpu_s: float | None
    seconds: float


class Meter:
    """Asks a server for answers and looks at what it uses meanwhile. `pid` None: it runs elsewhere."""

    def __init__(self, case: Case, generator: Generator, *, pid: int | None, clock: Clock, rng: random.Random) -> None:
        self._case, self._generator, self._pid = case, generator, pid
        self._clock, self._rng = clock, rng
        self._idle_share = 0.0

    async def calibrate(self, seconds: float) -> Calibration:
        """Takes about `seconds`. Raises Unusable."""
        await self._warm_up()
        self._idle_share = await self._idle(min(2.0, seconds / 10))
        if self._case.is_waiting:
            quiet = poisson(QUIET_RATE, max(seconds / 2, FEWEST * 3 / QUIET_RATE), self._case.kinds, self._rng)
            outcome, used = await self._watched(lambda: self._generator.open_loop(quiet))
        else:
            outcome, used = await self._watched(lambda: self._one_at_a_time(seconds))
        self._check(outcome)
        samples = tuple(
            tuple(latency for latency, each in zip(outcome.latencies_s, outcome.kinds, strict=True) if each == kind)
            for kind in self._case.kinds
        )
        cpu = None
        if used.cpu_s is not None:
            quiet_s = max(used.cpu_s / outcome.answers, LEAST_S)
            alone = CpuCost(QUIET_RATE, quiet_s, QUIET_RATE, quiet_s)
            cpu = await self._in_bursts(alone) if self._case.is_waiting else alone
        memory = None if self._pid is None else machine.resident_mb(self._pid)
        return Calibration(latencies_s=samples, cpu=cpu, memory_mb=memory)

    async def load(self, arrivals: Sequence[Arrival]) -> tuple[Outcome, Used]:
        """An open loop. Raises Unusable."""
        outcome, used = await self._watched(lambda: self._generator.open_loop(arrivals))
        self._check(outcome)
        return outcome, used

    async def saturate(self, *, at_once: int, seconds: float) -> tuple[Outcome, Used]:
        """A closed loop with so many callers that the server is never idle. Raises Unusable."""
        kinds = [self._case.kinds[int(self._rng.random() * len(self._case.kinds))] for _ in range(10_000)]
        outcome, used = await self._watched(
            lambda: self._generator.closed_loop(kinds, at_once=at_once, seconds=seconds)
        )
        self._check(outcome)
        return outcome, used

    def memory_mb(self) -> float | None:
        return None if self._pid is None else machine.resident_mb(self._pid)

    async def _idle(self, seconds: float) -> float:
        """Cores that the server uses when nobody asks: the least of some looks, since what it still has to do for the
        load before is no part of that."""
        self._idle_share = 0.0
        looks = [(await self._watched(lambda: self._clock.sleep(seconds)))[1] for _ in range(IDLE_LOOKS)]
        return min((look.cpu_s or 0.0) / look.seconds for look in looks)

    async def _warm_up(self) -> None:
        for _ in range(WARM_UP // len(self._case.kinds) + 1):
            self._check(await self._generator.open_loop([Arrival(0.0, kind) for kind in self._case.kinds]))

    async def _one_at_a_time(self, seconds: float) -> Outcome:
        total = Outcome()
        started = self._clock.monotonic()
        while self._clock.monotonic() - started < seconds or total.answers < FEWEST * len(self._case.kinds):
            for kind in self._case.kinds:
                one = await self._generator.open_loop([Arrival(0.0, kind)])
                self._check(one)
                total.latencies_s += one.latencies_s
                total.kinds += one.kinds
        return total

    async def _in_bursts(self, alone: CpuCost) -> CpuCost:
        """CPU of a request when as many come as the cores can do, which it says itself: found step by step.

        The first steps also open the connections that the later ones need, so those count. Where more come than are
        answered (somebody else uses the cores, or the generator is slower than the server), half as many do from then
        on. Raises Unusable where even those are not answered.
        """
        costs, most, outcome = [alone], math.inf, Outcome()
        for _ in range(BURSTS):
            rate = max(QUIET_RATE, min(self._case.cores / costs[-1].burst_s, most))
            arrivals = poisson(rate, BURST_S, self._case.kinds, self._rng)
            outcome, used = await self._watched(partial(self._generator.open_loop, arrivals))
            if _is_bad(outcome):
                most = rate / 2
                continue
            burst_s = max((used.cpu_s or 0.0) / outcome.answers, LEAST_S)
            costs.append(CpuCost(alone.quiet_rate, alone.quiet_s, rate, min(burst_s, alone.quiet_s)))
        if len(costs) == 1:
            self._check(outcome)
        last = costs[1:][-3:]
        return sorted(last, key=lambda each: each.burst_s)[len(last) // 2]

    async def _watched(self, act: Callable[[], Awaitable[T]]) -> tuple[T, Used]:
        before, started = self._cpu_s(), self._clock.monotonic()
        result = await act()
        seconds, after = self._clock.monotonic() - started, self._cpu_s()
        used = None if before is None or after is None else max(0.0, after - before - self._idle_share * seconds)
        return result, Used(used, seconds)

    def _cpu_s(self) -> float | None:
        return None if self._pid is None else machine.cpu_s(self._pid)

    def _check(self, outcome: Outcome) -> None:
        if _is_bad(outcome):
            raise Unusable(
                f"{outcome.failures} of {outcome.answers + outcome.failures} requests to the {self._case.name} server "
                "had no answer with status 200.",
                hint="Ask it by hand: curl it with the same model and key.",
            )


def _is_bad(outcome: Outcome) -> bool:
    return outcome.failures > MOST_FAILURES * (outcome.answers + outcome.failures)
