"""How many replicas a load needs: the queue for their cores, the limit of what each has under way, and who gets full
first."""

import math

from msgspec import Struct

from undercroft.planning import curve
from undercroft.planning.estimate import CPU_TARGET
from undercroft.planning.queueing import Queue, lognormal
from undercroft.planning.workload import Workload

POINTS = 256
MOST_REPLICAS = 10_000
"""Times what the CPU target needs: beyond, only the work itself is left."""


class Percentiles(Struct, frozen=True, kw_only=True):
    """Milliseconds from request to answer; None: without end, the load is more than the replicas can do."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Stage(Struct, frozen=True, kw_only=True):
    """Something that requests share, and how full it is at the peak (1: full)."""

    name: str
    utilisation: float
    limit: str


class Capacity(Struct, frozen=True, kw_only=True):
    """Replicas and what they do at the peak."""

    replicas: int
    utilisation: float
    """Of the cores."""
    headroom: float | None
    """How much more load than the peak the cores can do, as a share of the peak; None: there is no work for them."""
    max_rate: float
    """Requests a second at which the fullest stage is full."""
    in_flight: float | None
    """Requests under way at the peak; None: without end."""
    queue_depth: float | None
    """Requests waiting for a core, on average, when all replicas share one queue; None: without end."""
    shared_queue: Percentiles
    """The best case: whichever core is free takes the next request."""
    random_routing: Percentiles
    """The worst case: requests are spread over the replicas without looking."""
    meets_target: bool | None
    """Whether p95 under random routing is within the target; None: there is none."""
    bottleneck: Stage
    stages: tuple[Stage, ...]
    lag_replicas: int
    """Replicas beyond the load's own, for what it grows by while another one starts."""
    replica_hours_a_day: float
    """With as many replicas in each hour as that hour needs."""


def plan_capacity(workload: Workload, *, replicas: int | None = None) -> Capacity:
    """The fewest replicas that stay below the CPU target and within the p95 target; or what `replicas` do."""
    count = replicas if replicas is not None else fewest(workload, workload.peak_rate)
    shared, scattered = response(workload, workload.peak_rate, count)
    stages = stages_of(workload, count)
    bottleneck = max(stages, key=lambda each: each.utilisation)
    queue = _cores(workload, workload.peak_rate, count)
    target, p95 = workload.p95_target_ms, scattered.p95_ms
    growth = curve.steepest_growth(workload.day) * workload.scale_up_s
    return Capacity(
        replicas=count,
        utilisation=queue.utilisation,
        headroom=max(0.0, 1 / queue.utilisation - 1) if queue.utilisation > 0 else None,
        max_rate=workload.peak_rate / bottleneck.utilisation,
        in_flight=workload.peak_rate * (workload.service_s + queue.mean_wait_s) if queue.is_stable else None,
        queue_depth=queue.mean_length if queue.is_stable else None,
        shared_queue=shared,
        random_routing=scattered,
        meets_target=None if target is None else p95 is not None and p95 <= target,
        bottleneck=bottleneck,
        stages=stages,
        lag_replicas=math.ceil(count * growth - 1e-9),
        replica_hours_a_day=float(
            sum(fewest(workload, workload.daily_requests * share / 3600) for share in workload.day)
        ),
    )


def fewest(workload: Workload, rate: float) -> int:
    """The smallest number of replicas for a rate. A target that the work alone exceeds changes nothing."""
    by_cpu = rate * workload.cpu_s / CPU_TARGET / workload.cores_per_replica
    by_limit = rate * workload.service_s / CPU_TARGET / workload.concurrency_per_replica
    least = max(1, math.ceil(max(by_cpu, by_limit) - 1e-9))
    target = workload.p95_target_ms
    if target is None:
        return least
    services = lognormal(workload.service_s, workload.service_scv, points=POINTS)

    def meets(replicas: int) -> bool:
        return _cores(workload, rate / replicas, 1).response_exceeds(target / 1000, services) <= 1 - 0.95

    alone = Queue(rate=0, service_s=1, servers=1)
    if meets(least) or alone.response_exceeds(target / 1000, services) > 1 - 0.95:
        return least
    low, high = least, least * 2
    while not meets(high):
        low, high = high, high * 2
        if high > MOST_REPLICAS * least:
            return least
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if meets(middle) else (middle, high)
    return high


def response(workload: Workload, rate: float, replicas: int) -> tuple[Percentiles, Percentiles]:
    """With one queue for all, and with requests spread at random."""
    services = lognormal(workload.service_s, workload.service_scv, points=POINTS)
    shared = _cores(workload, rate, replicas)
    scattered = _cores(workload, rate / replicas, 1)
    return _percentiles(shared, services), _percentiles(scattered, services)


def _cores(workload: Workload, rate: float, replicas: int) -> Queue:
    servers = replicas * workload.cores_per_replica
    return Queue(rate=rate, service_s=workload.cpu_s, servers=servers, scv=workload.service_scv)


def _percentiles(queue: Queue, services: list[float]) -> Percentiles:
    if not queue.is_stable:
        return Percentiles(p50_ms=None, p95_ms=None, p99_ms=None)
    p50, p95, p99 = (queue.response_quantile_s(share, services) * 1000 for share in (0.5, 0.95, 0.99))
    return Percentiles(p50_ms=p50, p95_ms=p95, p99_ms=p99)


def stages_of(workload: Workload, replicas: int) -> tuple[Stage, ...]:
    """Everything that can be full, the fullest being the first bottleneck."""
    rate = workload.peak_rate
    cores, places = replicas * workload.cores_per_replica, replicas * workload.concurrency_per_replica
    found = [
        Stage(name="CPU", utilisation=rate * workload.cpu_s / cores, limit=f"{cores} cores"),
        Stage(name="concurrency", utilisation=rate * workload.service_s / places, limit=f"{places} at once"),
    ]
    allowed = workload.provider_requests_per_minute
    if allowed is not None:
        found.append(Stage(name="provider limit", utilisation=rate * 60 / allowed, limit=f"{allowed:g} a minute"))
    return tuple(found)
