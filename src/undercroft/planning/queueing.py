"""Waiting lines in closed form: how long requests wait when several servers share one queue.

Sources: Erlang's formulas B and C (A. K. Erlang, 1917); Allen and Cunneen's approximation for general service times
(A. O. Allen, Probability, Statistics and Queueing Theory, 2nd ed. 1990, 5.3); Halfin and Whitt, Operations Research
29 (1981) 567, for many servers. Exact for M/M/c; for one server the mean wait is exact for any service time
(Pollaczek and Khinchine). The wait of those who wait is taken as exponential, which is exact for M/M/c only.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

from msgspec import Struct

MANY_SERVERS = 20_000
"""From here on Halfin and Whitt's limit stands in for the sum: they agree to better than 1 % there."""
SAMPLES = 1024
"""Points that stand for a distribution of service times."""
_NORMAL = NormalDist()


def erlang_b(servers: int, load: float) -> float:
    """The probability that all of `servers` are busy when nobody waits; `load` in Erlangs (rate times service time)."""
    inverse = 1.0
    for busy in range(1, servers + 1):
        inverse = 1.0 + inverse * busy / load if load > 0 else math.inf
        if inverse > 1e300:
            return 0.0
    return 1.0 / inverse


def erlang_c(servers: int, load: float) -> float:
    """The probability that an arrival must wait; 1 when the load is more than the servers can do."""
    if load <= 0:
        return 0.0
    if load >= servers:
        return 1.0
    utilisation = load / servers
    if servers > MANY_SERVERS:
        beta = (1 - utilisation) * math.sqrt(servers)
        return 1 / (1 + beta * _NORMAL.cdf(beta) / _NORMAL.pdf(beta)) if beta < 30 else 0.0
    blocked = erlang_b(servers, load)
    return blocked / (1 - utilisation * (1 - blocked))


class Queue(Struct, frozen=True, kw_only=True):
    """One line in front of `servers` equal servers."""

    rate: float
    """Arrivals per second."""
    service_s: float
    """Mean service time."""
    servers: int
    scv: float = 1.0
    """Squared coefficient of variation of the service time: 0 constant, 1 exponential."""
    arrival_scv: float = 1.0
    """The same of the time between arrivals: 1 for Poisson."""

    @property
    def load(self) -> float:
        """Servers that are busy on average, in Erlangs."""
        return self.rate * self.service_s

    @property
    def utilisation(self) -> float:
        return self.load / self.servers

    @property
    def is_stable(self) -> bool:
        """Whether the line is finite."""
        return self.utilisation < 1

    @property
    def waits(self) -> float:
        """The share of arrivals that must wait."""
        return erlang_c(self.servers, self.load)

    @property
    def mean_wait_s(self) -> float:
        """Seconds in the line; infinite when the load is too much."""
        if not self.is_stable:
            return math.inf
        spread = (self.arrival_scv + self.scv) / 2
        return self.waits * self.service_s / (self.servers - self.load) * spread

    @property
    def mean_length(self) -> float:
        """Requests in the line (Little's law)."""
        return self.rate * self.mean_wait_s

    def wait_quantile_s(self, share: float) -> float:
        """The wait that `share` of the arrivals do not exceed."""
        waits = self.waits
        if not self.is_stable:
            return math.inf
        if waits <= 1 - share:
            return 0.0
        return self.mean_wait_s / waits * math.log(waits / (1 - share))

    def response_exceeds(self, moment_s: float, services: Sequence[float]) -> float:
        """The share of answers that take longer than this. `services` stand for the service times, equally likely."""
        if not self.is_stable:
            return 1.0
        waits = self.waits
        return _tail(moment_s, services, waits, self.mean_wait_s / waits if waits > 0 else 0.0)

    def response_quantile_s(self, share: float, services: Sequence[float]) -> float:
        """Wait and service together. `services` stand for the service times, each equally likely."""
        if not self.is_stable:
            return math.inf
        waits = self.waits
        mean_of_waiting = self.mean_wait_s / waits if waits > 0 else 0.0
        low, high = 0.0, max(services) + self.wait_quantile_s(1 - (1 - share) / 1000) + 1e-9
        for _ in range(50):
            middle = (low + high) / 2
            if _tail(middle, services, waits, mean_of_waiting) > 1 - share:
                low = middle
            else:
                high = middle
        return high


def _tail(moment: float, services: Sequence[float], waits: float, mean_of_waiting: float) -> float:
    """P(wait + service > moment)."""
    total = 0.0
    for service in services:
        left = moment - service
        if left < 0:
            total += 1.0
        elif mean_of_waiting > 0:
            total += waits * math.exp(-left / mean_of_waiting)
    return total / len(services)


def lognormal(mean: float, scv: float, *, points: int = SAMPLES) -> list[float]:
    """Equally likely values of a lognormal distribution of this mean and spread, ascending."""
    if scv <= 0:
        return [mean]
    sigma = math.sqrt(math.log(1 + scv))
    values = [math.exp(sigma * _NORMAL.inv_cdf((place + 0.5) / points)) for place in range(points)]
    scale = mean * points / sum(values)
    return [value * scale for value in values]


def quantile(ascending: Sequence[float], share: float) -> float:
    """The value that `share` of the sorted sample does not exceed; NaN of an empty one."""
    if not ascending:
        return math.nan
    return ascending[min(len(ascending) - 1, max(0, math.ceil(share * len(ascending)) - 1))]


def scv_of(sample: Sequence[float]) -> float:
    """The squared coefficient of variation of a sample; 0 of fewer than two values."""
    if len(sample) < 2:
        return 0.0
    mean = sum(sample) / len(sample)
    if mean == 0:
        return 0.0
    return sum((value - mean) ** 2 for value in sample) / (len(sample) - 1) / mean**2
