"""What is predicted before the load begins, from times measured while nobody else was there: values in, values out."""

import heapq
import random
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from undercroft.planning.queueing import quantile
from undercroft.planning.verification.load import Arrival

DRAWS: Final = 20
"""Times that the same arrivals are played through with other service times, so that luck evens out."""


class Calibration(Struct, frozen=True, kw_only=True):
    """Measured with one request at a time, and in short bursts."""

    latencies_s: tuple[tuple[float, ...], ...]
    """By kind of request: from request to answer."""
    cpu_single_s: float | None
    """CPU of the server for one request alone; None: it cannot be seen."""
    cpu_burst_s: float | None
    """The same while many are there at once, when one wake-up of the event loop serves several."""
    memory_mb: float | None

    def mean_s(self, kinds: Sequence[int]) -> float:
        """Of the mix of kinds."""
        means = [sum(sample) / len(sample) for sample in self.latencies_s]
        return sum(means[kind] for kind in kinds) / len(kinds)

    def cpu_s(self, share: float) -> float | None:
        """CPU of one request when the server is `share` busy, between the two that were measured."""
        if self.cpu_single_s is None or self.cpu_burst_s is None:
            return None
        return self.cpu_single_s + (self.cpu_burst_s - self.cpu_single_s) * min(max(share, 0.0), 1.0)


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
    if not calibration.cpu_burst_s:
        raise ValueError("the server's CPU time was not measured")
    return servers / calibration.cpu_burst_s


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


def play_waiting(
    arrivals: Sequence[Arrival],
    calibration: Calibration,
    *,
    share: float,
    servers: int,
    is_shared: bool,
    rng: random.Random,
) -> list[float]:
    """Latencies of these arrivals where most of an answer is waiting: only its CPU time queues."""
    cpu_s = calibration.cpu_s(share) or 0.0
    free = [0.0] * servers
    found = []
    for arrival in arrivals:
        sample = calibration.latencies_s[arrival.kind]
        base = sample[int(rng.random() * len(sample))]
        chosen = 0 if is_shared else int(rng.random() * servers)
        start = max(arrival.due_s, free[chosen])
        if is_shared:
            heapq.heapreplace(free, start + cpu_s)
        else:
            free[chosen] = start + cpu_s
        found.append(start - arrival.due_s + base)
    return found
