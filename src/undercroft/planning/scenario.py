"""What is simulated: arrivals, the servers, the provider behind them, impatient clients, and an autoscaler."""

from typing import Final, Literal

from msgspec import Struct

from undercroft.planning.bounds import OutOfRange, bounded, one_of
from undercroft.planning.queueing import lognormal

Routing = Literal["shared", "random", "least_busy"]
"""One queue for all; a replica at random; the less busy of two random ones."""
ROUTINGS: Final = ("shared", "random", "least_busy")
Policy = Literal["none", "cpu", "queue", "concurrency"]
POLICIES: Final = ("none", "cpu", "queue", "concurrency")
MOST_ARRIVALS: Final = 20_000_000


class Window(Struct, frozen=True, kw_only=True):
    """From `start_s` until before `end_s`; `factor` times the usual rate, where it is a burst."""

    start_s: float
    end_s: float
    factor: float = 1.0


class Clients(Struct, frozen=True, kw_only=True):
    """How callers behave. What they gave up on is still answered where it had begun: work for nobody."""

    timeout_s: float | None = None
    retries: int = 0
    backoff_s: float = 1.0
    """Before the first retry, doubled for each further one, with half of it at random."""


class Provider(Struct, frozen=True, kw_only=True):
    """What the answers depend on."""

    outages: tuple[Window, ...] = ()
    """Every call fails in these, after `failing_s`."""
    failing_s: float = 0.05
    requests_per_minute: float | None = None
    """Above it calls are refused at once (429); a bucket of one second's worth."""


class Autoscaler(Struct, frozen=True, kw_only=True):
    """When replicas are added and taken away.

    `cpu` is the HorizontalPodAutoscaler's rule: ceil(replicas * busy / target), nothing within a tenth of the target.
    `queue` is KEDA's with a queue's length, `concurrency` Knative's with requests under way, both a replica.
    """

    policy: Policy = "none"
    target: float = 0.6
    least: int = 1
    most: int = 100
    every_s: float = 15.0
    start_s: float = 30.0
    """Cold start: until a new replica takes requests."""
    patience_s: float = 300.0
    """It scales down to the most that was wanted in this time."""


class Scenario(Struct, frozen=True, kw_only=True):
    """One run. The same scenario gives the same result."""

    rate: float
    """Arrivals per second outside of bursts."""
    duration_s: float
    services: tuple[float, ...]
    """Service times in seconds, each equally likely."""
    replicas: int = 1
    slots: int = 1
    """Requests that one replica works on at once."""
    routing: Routing = "shared"
    bursts: tuple[Window, ...] = ()
    clients: Clients = Clients()
    provider: Provider = Provider()
    autoscaler: Autoscaler = Autoscaler()
    steps: int = 24
    """Of the timeline."""
    warm_up_s: float = 0.0
    """What arrives before is in no percentile."""
    seed: int = 1

    def check(self) -> "Scenario":
        """Itself. Raises OutOfRange for the first field that cannot be simulated."""
        bounded("rate", self.rate, least=1e-6, most=1e6, unit="a second")
        bounded("duration_s", self.duration_s, least=0.001, most=366 * 86_400, unit="s")
        bounded("replicas", self.replicas, least=1, most=100_000)
        bounded("slots", self.slots, least=1, most=100_000)
        bounded("steps", self.steps, least=1, most=1000)
        bounded("warm_up_s", self.warm_up_s, least=0, most=self.duration_s)
        one_of("routing", self.routing, ROUTINGS)
        if not self.services:
            raise OutOfRange("services is empty: it must have at least one time.", param="services")
        for service in self.services:
            bounded("services", service, least=0, most=86_400, unit="s")
        for burst in self.bursts:
            _check_window("burst", burst)
            bounded("burst.factor", burst.factor, least=0, most=10_000)
        self._check_clients_and_provider()
        self._check_autoscaler()
        expected = self.expected_arrivals
        if expected > MOST_ARRIVALS:
            raise OutOfRange(
                f"duration_s is {self.duration_s:g}: {expected:.0f} arrivals are too many, at most {MOST_ARRIVALS}; "
                f"the nearest is {self.duration_s * MOST_ARRIVALS / expected:.0f}.",
                param="duration_s",
            )
        return self

    def _check_clients_and_provider(self) -> None:
        if self.clients.timeout_s is not None:
            bounded("timeout_s", self.clients.timeout_s, least=0.001, most=86_400, unit="s")
        bounded("retries", self.clients.retries, least=0, most=100)
        bounded("backoff_s", self.clients.backoff_s, least=0, most=86_400, unit="s")
        bounded("failing_s", self.provider.failing_s, least=0, most=86_400, unit="s")
        if self.provider.requests_per_minute is not None:
            bounded("requests_per_minute", self.provider.requests_per_minute, least=0.01, most=1e9)
        for outage in self.provider.outages:
            _check_window("outage", outage)

    def _check_autoscaler(self) -> None:
        scaler = self.autoscaler
        one_of("policy", scaler.policy, POLICIES)
        bounded("target", scaler.target, least=0.01, most=1 if scaler.policy == "cpu" else 1e6)
        bounded("least", scaler.least, least=1, most=scaler.most)
        bounded("most", scaler.most, least=1, most=100_000)
        bounded("every_s", scaler.every_s, least=0.1, most=86_400, unit="s")
        bounded("start_s", scaler.start_s, least=0, most=86_400, unit="s")
        bounded("patience_s", scaler.patience_s, least=0, most=86_400, unit="s")

    @property
    def expected_arrivals(self) -> float:
        extra = sum((each.factor - 1) * _inside(each, self.duration_s) for each in self.bursts)
        return self.rate * max(0.0, self.duration_s + extra)

    def segments(self) -> list[tuple[float, float]]:
        """(end, rate) of each stretch of constant rate, in order."""
        edges = {self.duration_s}
        for burst in self.bursts:
            edges |= {min(burst.start_s, self.duration_s), min(burst.end_s, self.duration_s)}
        found, start = [], 0.0
        for end in sorted(edges - {0.0}):
            factor = 1.0
            for burst in self.bursts:
                if burst.start_s <= start < burst.end_s:
                    factor *= burst.factor
            found.append((end, self.rate * factor))
            start = end
        return found


def service_times(mean_s: float, scv: float, *, points: int = 4096) -> tuple[float, ...]:
    """A lognormal sample for `Scenario.services`."""
    return tuple(lognormal(mean_s, scv, points=points))


def _inside(window: Window, duration_s: float) -> float:
    return max(0.0, min(window.end_s, duration_s) - min(window.start_s, duration_s))


def _check_window(name: str, window: Window) -> None:
    bounded(f"{name}.start_s", window.start_s, least=0, most=366 * 86_400, unit="s")
    bounded(f"{name}.end_s", window.end_s, least=window.start_s, most=366 * 86_400, unit="s")
