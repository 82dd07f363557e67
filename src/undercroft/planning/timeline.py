"""What a simulation saw: one summary, and a row for each step of its time."""

from array import array

from msgspec import Struct

from undercroft.planning.queueing import quantile


class Step(Struct, frozen=True, kw_only=True):
    """One stretch of time. Latencies are of what was answered in it, from the client's first try."""

    start_s: float
    arrivals: int
    retries: int
    answered: int
    failed: int
    p50_ms: float | None
    p95_ms: float | None
    queue: int
    """At its end, as the next two."""
    under_way: int
    replicas: int
    busy: float
    """Mean share of the slots at work."""


class Summary(Struct, frozen=True, kw_only=True):
    """The whole run. `answered` and `failed` count clients, not tries."""

    arrivals: int
    retries: int
    answered: int
    failed: int
    unfinished: int
    timeouts: int
    """Tries that a client gave up on."""
    refused: int
    """Tries that the provider's limit refused."""
    outage_failures: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    mean_ms: float | None
    mean_wait_ms: float | None
    """In the queue, of all tries that got a slot."""
    throughput: float
    """Answers a second."""
    utilisation: float
    replica_hours: float
    most_replicas: int


class Run(Struct, frozen=True, kw_only=True):
    """A simulation's result."""

    summary: Summary
    timeline: tuple[Step, ...]


class Tally:
    """Collects during the run; percentiles are made once, at the end."""

    def __init__(self, steps: int, duration_s: float, warm_up_s: float) -> None:
        self.step_s = duration_s / steps
        self.warm_up_s = warm_up_s
        self.arrivals = [0] * steps
        self.retries = [0] * steps
        self.failed = [0] * steps
        self.latencies = [array("d") for _ in range(steps)]
        self.counted = array("d")
        self.timeouts = self.refused = self.outage_failures = 0
        self.wait_s = 0.0
        self.waits = 0
        self.last = steps - 1
        self.states: list[tuple[int, int, int, float]] = []

    def step(self, moment: float) -> int:
        return min(int(moment / self.step_s), self.last)

    def answered(self, began: float, now: float) -> None:
        self.latencies[min(int(now / self.step_s), self.last)].append(now - began)
        if began >= self.warm_up_s:
            self.counted.append(now - began)

    def started(self, arrived: float, now: float) -> None:
        if arrived >= self.warm_up_s:
            self.waits += 1
            self.wait_s += now - arrived

    def run(self, *, duration_s: float, unfinished: int, busy: float, replica_s: float, most: int) -> Run:
        """`busy` is the share of all slots that was at work, `replica_s` the replicas' time."""
        answered = sum(map(len, self.latencies))
        ascending = sorted(self.counted)
        summary = Summary(
            arrivals=sum(self.arrivals),
            retries=sum(self.retries),
            answered=answered,
            failed=sum(self.failed),
            unfinished=unfinished,
            timeouts=self.timeouts,
            refused=self.refused,
            outage_failures=self.outage_failures,
            p50_ms=_ms(ascending, 0.5),
            p95_ms=_ms(ascending, 0.95),
            p99_ms=_ms(ascending, 0.99),
            mean_ms=sum(ascending) / len(ascending) * 1000 if ascending else None,
            mean_wait_ms=self.wait_s / self.waits * 1000 if self.waits else None,
            throughput=answered / duration_s,
            utilisation=busy,
            replica_hours=replica_s / 3600,
            most_replicas=most,
        )
        return Run(summary=summary, timeline=tuple(self._step(place) for place in range(self.last + 1)))

    def _step(self, place: int) -> Step:
        ascending = sorted(self.latencies[place])
        queue, under_way, replicas, busy = self.states[place]
        return Step(
            start_s=place * self.step_s,
            arrivals=self.arrivals[place],
            retries=self.retries[place],
            answered=len(ascending),
            failed=self.failed[place],
            p50_ms=_ms(ascending, 0.5),
            p95_ms=_ms(ascending, 0.95),
            queue=queue,
            under_way=under_way,
            replicas=replicas,
            busy=busy,
        )


def _ms(ascending: list[float], share: float) -> float | None:
    return quantile(ascending, share) * 1000 if ascending else None
