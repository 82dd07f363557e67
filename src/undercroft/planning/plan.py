"""A whole plan: what a workload needs, how fast it will be, and what a month costs, with error bars."""

from typing import Final

from msgspec import Struct

from undercroft.planning import sizes
from undercroft.planning.estimate import GB_PER_CORE, HOURS_A_MONTH, estimate_resources, unit_prices
from undercroft.planning.figures import BAND, Figure, MonthlyCost, Range, around, total, unknown
from undercroft.planning.gpu import SelfHosted, Serving, serve
from undercroft.planning.instances import CLOUDS, Instance, instances, sources
from undercroft.planning.own_prices import OwnPrices
from undercroft.planning.replicas import Capacity, plan_capacity
from undercroft.planning.token_prices import TokenCost
from undercroft.planning.workload import Workload

DEMAND_BAND: Final = 0.15
"""What tokens and traffic may be off by, where nobody has measured them."""


class Plan(Struct, frozen=True, kw_only=True):
    """The keys of `estimate_resources` at the top, and the rest of the answer below them."""

    cpu_cores: float
    memory_gb: float
    storage_gb: float
    estimated_monthly_cost: float
    """USD for compute and storage of exactly these amounts; `monthly` has whole replicas and everything else."""
    peak_factor: float
    peak_rate: float
    """Requests a second in the busiest hour."""
    capacity: Capacity
    serving: Serving | None
    sizes: tuple[Figure, ...]
    monthly: tuple[MonthlyCost, ...]
    monthly_total: Range
    """USD, of what is known."""
    unknown: tuple[str, ...]
    """Parts of the bill that no total contains."""
    assumptions: tuple[Figure, ...]
    warnings: tuple[str, ...]


def make_plan(
    workload: Workload, *, prices: OwnPrices, tokens: TokenCost | None = None, hosted: SelfHosted | None = None
) -> Plan:
    """Raises OutOfRange for what no plan can be made from. `tokens` is what one request's tokens cost."""
    workload.check()
    basic = estimate_resources(
        workload.daily_requests,
        workload.avg_ms,
        workload.peak,
        cpu_fraction=workload.cpu_fraction,
        retention_days=workload.retention_days,
    )
    capacity = plan_capacity(workload)
    serving = None
    if hosted is not None:
        serving = serve(hosted, rate=workload.peak_rate, tokens_in=workload.tokens_in, tokens_out=workload.tokens_out)
    monthly = tuple(_costs(workload, capacity, prices, tokens, hosted, serving))
    missing = tuple(each.name for each in monthly if each.likely is None)
    return Plan(
        cpu_cores=basic["cpu_cores"],
        memory_gb=basic["memory_gb"],
        storage_gb=basic["storage_gb"],
        estimated_monthly_cost=basic["estimated_monthly_cost"],
        peak_factor=workload.peak,
        peak_rate=workload.peak_rate,
        capacity=capacity,
        serving=serving,
        sizes=sizes.sizes(workload),
        monthly=monthly,
        monthly_total=total(monthly),
        unknown=missing,
        assumptions=_assumptions(workload, hosted),
        warnings=tuple(_warnings(workload, capacity, tokens, missing)),
    )


def _costs(
    workload: Workload,
    capacity: Capacity,
    prices: OwnPrices,
    tokens: TokenCost | None,
    hosted: SelfHosted | None,
    serving: Serving | None,
) -> list[MonthlyCost]:
    found = [_compute(workload, capacity), _disk(workload, prices)]
    if tokens is not None:
        found.append(_tokens(workload, tokens))
    if hosted is not None and serving is not None:
        found.append(_gpus(hosted, serving))
    found.append(_by_amount("egress", sizes.egress_gb_month(workload), prices.egress_usd_per_gb, "egress_usd_per_gb"))
    for name in ("load_balancer", "database", "redis", *(("vector_store",) if workload.vectors else ())):
        usd = getattr(prices, f"{name}_usd_month")
        found.append(_by_amount(name, 1, usd, f"{name}_usd_month"))
    return found


def _compute(workload: Workload, capacity: Capacity) -> MonthlyCost:
    prices = unit_prices()
    per_core = [
        each.usd_cpu_month + GB_PER_CORE * each.usd_memory_month for each in (prices.low, prices.likely, prices.high)
    ]
    cores = capacity.replicas * workload.cores_per_replica
    scaled = capacity.replica_hours_a_day / 24 * workload.cores_per_replica
    return MonthlyCost(
        name="compute",
        low=min(scaled, cores) * (1 - BAND) * per_core[0],
        likely=cores * per_core[1],
        high=cores * (1 + BAND) * per_core[2],
        basis="derived",
        how=f"{cores} cores all day ({prices.likely.families}); low: {scaled:.1f} on average, scaled by the hour, "
        f"{BAND:.0%} less work, {prices.low.families}; high: {BAND:.0%} more work, {prices.high.families}; "
        f"{prices.source}, {prices.date}",
    )


def _disk(workload: Workload, prices: OwnPrices) -> MonthlyCost:
    own, shipped = prices.disk_usd_per_gb_month, unit_prices()
    price = shipped.usd_disk_gb_month if own is None else own
    source = f"{shipped.disk_source}, {shipped.disk_date}" if own is None else "your prices.toml"
    return around("storage", sizes.storage_gb(workload) * price, f"{price:g} USD a GB and month: {source}")


def _tokens(workload: Workload, tokens: TokenCost) -> MonthlyCost:
    if tokens.usd is None:
        return MonthlyCost(name="tokens", low=None, likely=None, high=None, basis="unknown", how=tokens.source)
    usd = workload.daily_requests * sizes.DAYS_A_MONTH * tokens.usd
    how = f"{workload.tokens_in:g} in and {workload.tokens_out:g} out a request: {tokens.source}"
    return around("tokens", usd, how, band=DEMAND_BAND)


def _gpus(hosted: SelfHosted, serving: Serving) -> MonthlyCost:
    rented = gpu_instance(hosted)
    if rented is None:
        gpu = hosted.gpu
        how = f"no instance in the data has {gpu.count} of gpu.name '{gpu.name}' with {gpu.memory_gib:g} GiB"
        return MonthlyCost(name="gpus", low=None, likely=None, high=None, basis="unknown", how=how)
    usd = serving.replicas * rented.usd_hour * HOURS_A_MONTH
    as_of = sources()[rented.provider].as_of
    how = f"{serving.replicas} of {rented.provider}/{rented.region}/{rented.name}, on demand, {as_of}"
    return around("gpus", usd, how)


def gpu_instance(hosted: SelfHosted) -> Instance | None:
    """The cheapest instance of any cloud's default region with these GPUs."""
    gpu = hosted.gpu
    fitting = [
        each
        for cloud in CLOUDS
        for each in instances(cloud)
        if each.gpu_model == gpu.name.lower()
        and each.gpu_count >= gpu.count
        and each.gpu_memory_gib >= gpu.memory_gib * 0.9
    ]
    return min(fitting, key=lambda each: each.usd_hour, default=None)


def _by_amount(name: str, amount: float, price: float | None, setting: str) -> MonthlyCost:
    if price is None:
        return unknown(name, setting)
    return around(name, amount * price, f"{amount:g} at {price:g} USD: your prices.toml", band=0.0)


def _assumptions(workload: Workload, hosted: SelfHosted | None) -> tuple[Figure, ...]:
    told = [
        ("daily_requests", workload.daily_requests, "requests", ""),
        ("avg_ms", workload.avg_ms, "ms", "when nobody else is there"),
        ("cpu_fraction", workload.cpu_fraction, "of avg_ms", "keeps a core busy; the rest is waiting"),
        ("service_scv", workload.service_scv, "", "spread of the time a request takes: lognormal"),
        ("cores_per_replica", workload.cores_per_replica, "cores", ""),
        ("concurrency_per_replica", workload.concurrency_per_replica, "requests", "under way at once"),
        ("scale_up_s", workload.scale_up_s, "s", "until another replica takes requests"),
        ("retention_days", workload.retention_days, "days", ""),
    ]
    found = [
        Figure(name=name, value=value, unit=unit, basis=workload.basis(name), how=how)
        for name, value, unit, how in told
    ]
    if workload.curve is None:
        how = "busiest hour over the mean one; the day is one smooth wave with its crest at 14 h"
        basis = workload.basis("peak_factor")
    else:
        how, basis = "from the given hours of the day", workload.basis("curve")
    found.append(Figure(name="peak_factor", value=workload.peak, unit="", basis=basis, how=how))
    found.append(Figure(name="cpu_target", value=0.8, unit="busy", basis="assumed", how="of the cores, at the peak"))
    found.append(Figure(name="arrivals", value=1.0, unit="", basis="assumed", how="Poisson within the hour"))
    if hosted is not None:
        how = "of bandwidth and operations is reached; measure it: tokens a second at a known batch"
        basis = "assumed" if hosted.gpu.efficiency == 0.6 else "given"
        found.append(Figure(name="gpu.efficiency", value=hosted.gpu.efficiency, unit="share", basis=basis, how=how))
    return tuple(found)


def _warnings(workload: Workload, capacity: Capacity, tokens: TokenCost | None, missing: tuple[str, ...]) -> list[str]:
    found = []
    if missing:
        found.append(f"the total leaves out what is unknown: {', '.join(missing)}")
    if tokens is not None and tokens.usd is None:
        found.append(tokens.source)
    if capacity.meets_target is False:
        found.append(
            f"no number of replicas meets p95_target_ms {workload.p95_target_ms:g}: alone, a request takes "
            f"{capacity.random_routing.p95_ms or 0:.0f} ms at p95; make the work shorter or its spread smaller"
        )
    if capacity.bottleneck.utilisation > 1:
        stage = capacity.bottleneck
        found.append(f"{stage.name} is overrun at the peak: {stage.utilisation:.2f} times its limit of {stage.limit}")
    if capacity.lag_replicas:
        found.append(
            f"an autoscaler that takes {workload.scale_up_s:g} s needs {capacity.lag_replicas} more replicas ready "
            "while the load grows fastest"
        )
    return found
