"""`undercroft plan verify`: calibrate, predict, load, compare."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from undercroft.clock import Clock
from undercroft.planning.bounds import bounded
from undercroft.planning.verification import prediction
from undercroft.planning.verification.cases import Case
from undercroft.planning.verification.load import Arrival, Generator, Outcome, poisson, replayed
from undercroft.planning.verification.measure import MOST_AT_ONCE, Meter
from undercroft.planning.verification.prediction import Calibration, Percentiles, percentiles
from undercroft.planning.verification.report import Compared, Line, lines_of

LOADS: Final = (0.3, 0.5, 0.6)
SATURATE_S: Final = 15.0
MOST_LATE: Final = 0.02
SHORTEST_CALIBRATION_S: Final = 3.0
BUSY: Final = 0.85
"""A server with less to do than this is not at its limit."""


@dataclass(frozen=True, slots=True)
class Course:
    """How long and how often."""

    duration_s: float = 60.0
    runs: int = 3
    loads: tuple[float, ...] = LOADS
    band: float = 0.15
    recorded_s: tuple[float, ...] = ()
    """Moments of recorded arrivals; none: Poisson."""

    def check(self) -> "Course":
        """Itself. Raises OutOfRange."""
        bounded("duration", self.duration_s, least=1, most=86_400, unit="s")
        bounded("runs", self.runs, least=1, most=1000)
        bounded("band", self.band, least=0.001, most=10)
        for load in self.loads:
            bounded("load", load, least=0.01, most=0.95)
        return self


Told = Callable[[str], None]


class Verification:
    """One server, from the first quiet request to the last comparison."""

    def __init__(
        self, case: Case, meter: Meter, course: Course, *, rng: random.Random, told: Told = lambda _: None
    ) -> None:
        """`told` hears what is being done."""
        self._case, self._meter, self._course = case, meter, course
        self._rng, self._told = rng, told
        self._limit: float | None = None
        """Of a server whose CPU cannot be seen: found once, since that takes all it can do."""
        self.calibrated: list[str] = []
        self.notes: list[str] = []

    async def run(self) -> list[Line]:
        """Raises Unusable where the server does not answer."""
        course, case = self._course, self._case
        seen: list[Compared] = []
        for number in range(1, course.runs + 1):
            which = f"run {number} of {course.runs}"
            if case.name != "target":
                seen.append(await self._saturation(which))
            for share in course.loads:
                seen += await self._at(share, which)
        return lines_of(case.name, seen, band=course.band)

    async def _calibrated(self) -> tuple[Calibration, float]:
        """With the most requests a second that follow from it. Before every load: machines change their speed."""
        calibration = await self._meter.calibrate(max(SHORTEST_CALIBRATION_S, self._course.duration_s / 6))
        return calibration, await self._predicted_max(calibration)

    async def _predicted_max(self, calibration: Calibration) -> float:
        case = self._case
        mean_ms = calibration.mean_s(case.kinds) * 1000
        count = sum(map(len, calibration.latencies_s))
        self.calibrated.append(f"{case.name}: {count} requests alone, {mean_ms:.2f} ms on average (measured)")
        if not case.is_waiting:
            return prediction.max_rate_of_one_queue(calibration, case.kinds, case.servers)
        if calibration.cpu is not None:
            cpu = calibration.cpu
            self.calibrated.append(
                f"{case.name}: {cpu.quiet_s * 1e6:.0f} us of CPU for a request at {cpu.quiet_rate:.0f}/s, "
                f"{cpu.burst_s * 1e6:.0f} us in bursts of {cpu.burst_rate:.0f}/s (measured)"
            )
            return prediction.max_rate_of_cores(calibration, case.cores)
        if self._limit is None:
            self._limit = await self._found_limit()
        return self._limit

    async def _found_limit(self) -> float:
        case = self._case
        self._told(f"{case.name}: finding its limit")
        outcome, _ = await self._meter.saturate(at_once=64, seconds=min(SATURATE_S, self._course.duration_s))
        limit = outcome.answers / outcome.elapsed_s
        self.calibrated.append(
            f"{case.name}: {limit:.1f} requests/s with 64 callers (measured: its CPU cannot be seen from here, so its "
            "throughput is no prediction)"
        )
        return limit

    async def _saturation(self, which: str) -> Compared:
        course, case = self._course, self._case
        self._told(f"{case.name}: saturation, {which}")
        calibration, predicted = await self._calibrated()
        at_once = 4 * case.servers
        if case.is_waiting:
            at_once = min(MOST_AT_ONCE, math.ceil(1.5 * predicted * calibration.mean_s(case.kinds)) + 8)
        outcome, used = await self._meter.saturate(at_once=at_once, seconds=min(SATURATE_S, course.duration_s))
        busy = None if used.cpu_s is None else used.cpu_s / used.seconds / case.cores
        if busy is not None and busy < BUSY:
            self.notes.append(
                f"{case.name}: at saturation its cores were {busy:.0%} busy: the load generator, or somebody else "
                "on this machine, was the limit"
            )
        throughput = outcome.answers / outcome.elapsed_s
        return Compared("saturation", "throughput", "requests/s", (predicted,), throughput, is_judged=True)

    async def _at(self, share: float, which: str) -> list[Compared]:
        case, load = self._case, f"{share:.0%}"
        self._told(f"{case.name}: {load} load, {which}")
        calibration, predicted_max = await self._calibrated()
        rate = share * predicted_max
        arrivals = self._arrivals(rate)
        brackets = [self._predicted(arrivals, calibration, rate, is_shared=True)]
        if case.servers > 1:
            brackets.append(self._predicted(arrivals, calibration, rate, is_shared=False))
        outcome, used = await self._meter.load(arrivals)
        self._note_late(outcome, len(arrivals), share)
        found = percentiles(outcome.latencies_s)
        compared = [
            Compared(
                load,
                name,
                "ms",
                tuple(getattr(each, field) for each in brackets),
                getattr(found, field),
                is_judged=field == "p95_ms",
            )
            for name, field in (("p50", "p50_ms"), ("p95", "p95_ms"), ("p99", "p99_ms"))
        ]
        if calibration.cpu is not None and used.cpu_s is not None:
            predicted = len(arrivals) * calibration.cpu.at(rate) / used.seconds
            compared.append(Compared(load, "CPU", "cores", (predicted,), used.cpu_s / used.seconds))
        memory_mb = self._meter.memory_mb()
        if memory_mb is not None and calibration.memory_mb is not None:
            compared.append(Compared(load, "memory", "MB", (calibration.memory_mb,), memory_mb))
        return compared

    def _arrivals(self, rate: float) -> list[Arrival]:
        course = self._course
        if course.recorded_s:
            return replayed(course.recorded_s, rate, course.duration_s, self._case.kinds, self._rng)
        return poisson(rate, course.duration_s, self._case.kinds, self._rng)

    def _predicted(
        self, arrivals: Sequence[Arrival], calibration: Calibration, rate: float, *, is_shared: bool
    ) -> Percentiles:
        case, rng = self._case, self._rng
        if case.is_waiting:
            queues = prediction.one_queue(case.cores) if is_shared else prediction.queues(case.servers, case.cores)
            return percentiles(prediction.play_waiting(arrivals, calibration, rate=rate, queues=queues, rng=rng))
        return percentiles(prediction.play(arrivals, calibration, servers=case.servers, is_shared=is_shared, rng=rng))

    def _note_late(self, outcome: Outcome, count: int, share: float) -> None:
        if outcome.late > MOST_LATE * count:
            self.notes.append(
                f"{self._case.name}: at {share:.0%} load {outcome.late} of {count} requests left more than 5 ms late: "
                "the load generator had too little of its core"
            )


def verification(
    case: Case,
    generator: Generator,
    course: Course,
    *,
    pid: int | None,
    clock: Clock,
    rng: random.Random,
    told: Told = lambda _: None,
) -> Verification:
    """What is to run in one event loop with the generator."""
    return Verification(case, Meter(case, generator, pid=pid, clock=clock, rng=rng), course, rng=rng, told=told)
