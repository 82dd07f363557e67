"""What is predicted before the load begins, from times measured while nobody else was there: values in, values out."""

import heapq
import math
import random
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from undercroft.planning.queueing import quantile
from undercroft.planning.verification.load import Arrival

DRAWS: Final = 20
"""Times that the same arrivals are played through with other service times, so that luck evens out."""


class CpuCost(Struct, frozen=True):
    """CPU of one request at two rates of arrival, seconds: the more come, the more of them one wake-up serves."""

    quiet_rate: float
    """Requests a second that do not meet each other."""
    quiet_s: float
    burst_rate: float
    """Requests a second that the cores can just do."""
    burst_s: float

    def at(self, rate: float) -> float:
        """Between the two by a power law (a straight line in logarithms), beyond them as at the nearer one.

        Checked at 160 to 1,600 requests a second against CPU measured there: within 15 %, where a straight line in the
        rate itself was 70 % too high.
        """
        if rate <= self.quiet_rate or self.quiet_rate == self.burst_rate:
            return self.quiet_s
        if rate >= self.burst_rate:
            return self.burst_s
        place = math.log(rate / self.quiet_rate) / math.log(self.burst_rate / self.quiet_rate)
        return self.quiet_s * math.exp(place * math.log(self.burst_s / self.quiet_s))


class Calibration(Struct, frozen=True, kw_only=True):
    """Measured with one request at a time, and in short bursts."""

    latencies_s: tuple[tuple[float, ...], ...]
    """By kind of request: from request to answer."""
    cpu: CpuCost | None
    """None: the server's CPU cannot be seen."""
    memory_mb: float | None

    def mean_s(self, kinds: Sequence[int]) -> float:
        """Of the mix of kinds."""
        means = [sum(sample) / len(sample) for sample in self.latencies_s]
        return sum(means[kind] for kind in kinds) / len(kinds)


class Percentiles(Struct, frozen=True, kw_only=True):
    """Milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


def percentiles(latencies_s: Sequence[float]) -> Percentiles:
    ascending = sorted(latencies_s)
    p50, p95, p99 = (quantile(ascending, share) * 1000 for share in (0.5, 0.95, 0.99))
    return Percentiles(p50_ms=p50, p95_ms=p95, p99_ms=p99)


def max_rate_of_one_queue(calibration: Calibration, kinds: Sequence[int], servers: int) -> float:
    """Requests a second when all servers are always at work."""
    return servers / calibration.mean_s(kinds)


def max_rate_of_cores(calibration: Calibration, servers: int) -> float:
    """Requests a second when every core is always at work on requests that wait for each other's wake-ups.

    Raises ValueError where the CPU could not be seen.
    """
    if calibration.cpu is None:
        raise ValueError("the server's CPU time was not measured")
    return servers / calibration.cpu.burst_s


def play(
    arrivals: Sequence[Arrival], calibration: Calibration, *, servers: int, is_shared: bool, rng: random.Random
) -> list[float]:
    """Latencies of these very arrivals where the whole answer is work: first come, first served, DRAWS times over."""
    found = []
    for _ in range(DRAWS):
        free = [0.0] * servers
        for arrival in arrivals:
            sample = calibration.latencies_s[arrival.kind]
            service = sample[int(rng.random() * len(sample))]
            if is_shared:
                start = max(arrival.due_s, free[0])
                heapq.heapreplace(free, start + service)
            else:
                chosen = int(rng.random() * servers)
                start = max(arrival.due_s, free[chosen])
                free[chosen] = start + service
            found.append(start + service - arrival.due_s)
    return found


class Queues(Struct, frozen=True):
    """Who takes the next request, and how fast."""

    count: int
    is_shared: bool
    """One queue before all of them; otherwise each has one of its own, and requests come to any at random."""
    slower: float = 1.0
    """Times the CPU time that a request's work takes, where servers share cores."""


def one_queue(cores: int) -> Queues:
    """The better end: whoever is free takes the next."""
    return Queues(cores, is_shared=True)


def queues(servers: int, cores: int) -> Queues:
    """The worse end: each process has its own share of the cores, and nobody helps a neighbour."""
    return Queues(servers, is_shared=False, slower=servers / cores)


def play_waiting(
    arrivals: Sequence[Arrival], calibration: Calibration, *, rate: float, queues: Queues, rng: random.Random
) -> list[float]:
    """Latencies of these arrivals where most of an answer is waiting: only its CPU time queues."""
    cpu_s = 0.0 if calibration.cpu is None else calibration.cpu.at(rate) * queues.slower
    free = [0.0] * queues.count
    found = []
    for arrival in arrivals:
        sample = calibration.latencies_s[arrival.kind]
        base = sample[int(rng.random() * len(sample))]
        chosen = 0 if queues.is_shared else int(rng.random() * queues.count)
        start = max(arrival.due_s, free[chosen])
        if queues.is_shared:
            heapq.heapreplace(free, start + cpu_s)
        else:
            free[chosen] = start + cpu_s
        found.append(start - arrival.due_s + base)
    return found
