"""The same workload in several places: containers, Kubernetes and functions on three clouds, own GPUs, tokens."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from undercroft.planning.chart import line_chart
from undercroft.planning.estimate import GB_PER_CORE, HOURS_A_MONTH, MOST_REQUESTS
from undercroft.planning.gpu import SelfHosted, serve
from undercroft.planning.instances import CLOUDS, DEFAULT_REGION, Instance, instances, is_current, sources
from undercroft.planning.own_prices import OwnPrices
from undercroft.planning.plan import gpu_instance
from undercroft.planning.replicas import fewest
from undercroft.planning.sizes import DAYS_A_MONTH, egress_gb_month
from undercroft.planning.token_prices import TokenCost
from undercroft.planning.workload import Workload

SYSTEM_SHARE: Final = 0.1
"""Of each Kubernetes node for its own agents: assumed."""
GB_PER_CALL: Final = 1.0
"""Memory of a function while it answers: assumed."""


class Offer(Struct, frozen=True, kw_only=True):
    """One way to run the workload. `usd_month` None: the main part of its price is unknown."""

    form: str
    provider: str
    what: str
    usd_month: float | None
    unknown: tuple[str, ...]
    """What else is on its bill, at prices that are not known; in no figure here."""
    as_of: str
    how: str


class BreakEven(Struct, frozen=True, kw_only=True):
    """From `daily_requests` on, `cheaper` costs less than `than`; None: never, or always."""

    cheaper: str
    than: str
    daily_requests: float | None
    how: str


class Comparison(Struct, frozen=True, kw_only=True):
    """Offers, cheapest first, those with an unknown price last."""

    offers: tuple[Offer, ...]
    break_evens: tuple[BreakEven, ...]
    warnings: tuple[str, ...]


def compare(
    workload: Workload,
    *,
    prices: OwnPrices,
    tokens: TokenCost | None = None,
    hosted: SelfHosted | None = None,
    regions: dict[str, str] | None = None,
) -> Comparison:
    """Raises OutOfRange. `regions` by cloud; the cloud's default one where it is not named."""
    workload.check()
    offers = []
    for cloud in CLOUDS:
        region = (regions or {}).get(cloud, DEFAULT_REGION[cloud])
        offers += [
            _on_instances(workload, prices, cloud, region, is_cluster=False),
            _on_instances(workload, prices, cloud, region, is_cluster=True),
            _serverless(workload, prices, cloud),
        ]
    if hosted is not None:
        offers.append(_on_gpus(workload, hosted))
    if tokens is not None:
        usd = None if tokens.usd is None else workload.daily_requests * DAYS_A_MONTH * tokens.usd
        offers.append(
            Offer(
                form="API tokens",
                provider=workload.model.partition("/")[0] if "/" in workload.model else "",
                what=workload.model,
                usd_month=usd,
                unknown=(),
                as_of="",
                how=tokens.source,
            )
        )
    offers.sort(key=lambda each: (each.usd_month is None, each.usd_month or 0.0, each.form, each.provider))
    without = [f"{each.form} {each.provider}".strip() for each in offers if each.usd_month is None]
    warnings = [f"no price is known, so it is not ranked: {', '.join(without)}"] if without else []
    return Comparison(
        offers=tuple(offers),
        break_evens=_break_evens(workload, prices, tokens, hosted),
        warnings=tuple(warnings),
    )


def fleet(workload: Workload, provider: str, region: str, *, system_share: float = 0.0) -> tuple[int, Instance]:
    """The cheapest number of equal instances with the cores and memory that the peak needs."""
    cores = fewest(workload, workload.peak_rate) * workload.cores_per_replica / (1 - system_share)
    memory = cores * GB_PER_CORE
    best: tuple[float, int, Instance] | None = None
    for each in instances(provider, region):
        if each.gpu_count or each.is_burstable or not is_current(each):
            continue
        count = max(1, math.ceil(max(cores / each.vcpu, memory / each.memory_gib) - 1e-9))
        if best is None or count * each.usd_hour < best[0]:
            best = (count * each.usd_hour, count, each)
    assert best is not None, "every region has an instance type without a GPU"
    return best[1], best[2]


def _on_instances(workload: Workload, prices: OwnPrices, provider: str, region: str, *, is_cluster: bool) -> Offer:
    count, instance = fleet(workload, provider, region, system_share=SYSTEM_SHARE if is_cluster else 0.0)
    carried = None if prices.egress_usd_per_gb is None else egress_gb_month(workload) * prices.egress_usd_per_gb
    extras = {"load_balancer": prices.load_balancer_usd_month, "egress": carried}
    if is_cluster:
        extras["kubernetes control plane"] = prices.kubernetes_usd_month
    known = sum(each for each in extras.values() if each is not None)
    share = f", {SYSTEM_SHARE:.0%} of each node for the system (assumed)" if is_cluster else ""
    return Offer(
        form="Kubernetes" if is_cluster else "containers",
        provider=provider,
        what=f"{count} x {instance.name} in {region}",
        usd_month=count * instance.usd_hour * HOURS_A_MONTH + known,
        unknown=tuple(name for name, usd in extras.items() if usd is None),
        as_of=sources()[provider].as_of,
        how=f"{count} at {instance.usd_hour:g} USD an hour on demand, all day, for the peak{share}",
    )


def _serverless(workload: Workload, prices: OwnPrices, provider: str) -> Offer:
    price = prices.serverless.get(provider)
    usd = None
    how = f"no price with a source and a date; set [serverless.{provider}] in prices.toml"
    if price is not None:
        requests = workload.daily_requests * DAYS_A_MONTH
        seconds = requests * workload.service_s * GB_PER_CALL
        usd = seconds * price.usd_per_gb_second + requests / 1e6 * price.usd_per_million_requests
        usd += egress_gb_month(workload) * (prices.egress_usd_per_gb or 0.0)
        how = f"{seconds:.0f} GB-seconds ({GB_PER_CALL:g} GB a call, assumed), your prices.toml"
    return Offer(
        form="serverless",
        provider=provider,
        what="functions",
        usd_month=usd,
        unknown=("egress",) if prices.egress_usd_per_gb is None else (),
        as_of="",
        how=how,
    )


def _on_gpus(workload: Workload, hosted: SelfHosted) -> Offer:
    instance, gpu = gpu_instance(hosted), hosted.gpu
    usd = gpu_usd_month(workload, hosted)
    name = instance.name if instance else f"{gpu.count} x {gpu.name or 'GPU'}"
    return Offer(
        form="own GPUs",
        provider=instance.provider if instance else "",
        what=name,
        usd_month=usd,
        unknown=("load_balancer", "egress"),
        as_of=sources()[instance.provider].as_of if instance else "",
        how="as many as the peak needs, all day" if instance else f"no instance in the data has gpu.name '{gpu.name}'",
    )


def gpu_usd_month(workload: Workload, hosted: SelfHosted) -> float | None:
    """All day, as many as the peak needs; None where nobody in the data rents them out."""
    instance = gpu_instance(hosted)
    if instance is None:
        return None
    served = serve(hosted, rate=workload.peak_rate, tokens_in=workload.tokens_in, tokens_out=workload.tokens_out)
    return served.replicas * instance.usd_hour * HOURS_A_MONTH


def _break_evens(
    workload: Workload, prices: OwnPrices, tokens: TokenCost | None, hosted: SelfHosted | None
) -> tuple[BreakEven, ...]:
    found = []
    if hosted is not None and tokens is not None and tokens.usd is not None and gpu_instance(hosted) is not None:
        per_request = tokens.usd

        def gpus(requests: float) -> float:
            return gpu_usd_month(msgspec.structs.replace(workload, daily_requests=requests), hosted) or math.inf

        def bought(requests: float) -> float:
            return requests * DAYS_A_MONTH * per_request

        found.append(_break_even("own GPUs", gpus, "API tokens", bought))
    for cloud in prices.serverless:
        if cloud not in CLOUDS:
            continue

        def containers(requests: float, cloud: str = cloud) -> float:
            count, each = fleet(_with(workload, requests), cloud, DEFAULT_REGION[cloud])
            return count * each.usd_hour * HOURS_A_MONTH

        def functions(requests: float, cloud: str = cloud) -> float:
            return _serverless(_with(workload, requests), prices, cloud).usd_month or math.inf

        found.append(_break_even(f"containers on {cloud}", containers, f"serverless on {cloud}", functions))
    return tuple(found)


def _with(workload: Workload, requests: float) -> Workload:
    return msgspec.structs.replace(workload, daily_requests=requests)


def _break_even(cheaper: str, one: Callable[[float], float], than: str, other: Callable[[float], float]) -> BreakEven:
    """From where on the first one costs less, by bisection. Costs grow in steps: it is the first such point."""
    low, high = 1.0, MOST_REQUESTS
    how = "the smallest number of requests a day, to 1 %, from which on it is so"
    if one(low) <= other(low):
        return BreakEven(cheaper=cheaper, than=than, daily_requests=None, how="always")
    point = low
    while point < high and one(point) > other(point):
        low, point = point, point * 2
    if point >= high:
        return BreakEven(cheaper=cheaper, than=than, daily_requests=None, how="never")
    high = point
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if one(middle) <= other(middle) else (middle, high)
    return BreakEven(cheaper=cheaper, than=than, daily_requests=high, how=how)


def cost_chart(
    workload: Workload, *, prices: OwnPrices, tokens: TokenCost | None = None, hosted: SelfHosted | None = None
) -> str:
    """An SVG: USD a month over requests a day, from a hundredth to a hundred times the workload's."""
    amounts = [
        each for power in range(-8, 9) if 1 <= (each := workload.daily_requests * 10 ** (power / 4)) <= MOST_REQUESTS
    ]
    series: dict[str, Sequence[tuple[float, float]]] = {}
    for amount in amounts:
        for offer in compare_at(workload, amount, prices=prices, tokens=tokens, hosted=hosted):
            if offer.usd_month is not None:
                name = f"{offer.form} {offer.provider}".strip()
                series[name] = [*series.get(name, ()), (amount, offer.usd_month)]
    return line_chart(
        "What a month costs", dict(sorted(series.items())), x_label="requests a day", y_label="USD a month", is_log=True
    )


def compare_at(
    workload: Workload, amount: float, *, prices: OwnPrices, tokens: TokenCost | None, hosted: SelfHosted | None
) -> list[Offer]:
    """Offers for another number of requests, without Kubernetes, whose line would lie on that of the containers."""
    changed = _with(workload, amount)
    offers = [_on_instances(changed, prices, cloud, DEFAULT_REGION[cloud], is_cluster=False) for cloud in CLOUDS]
    offers += [_serverless(changed, prices, cloud) for cloud in prices.serverless if cloud in CLOUDS]
    if hosted is not None:
        offers.append(_on_gpus(changed, hosted))
    if tokens is not None and tokens.usd is not None:
        usd = amount * DAYS_A_MONTH * tokens.usd
        offers.append(
            Offer(form="API tokens", provider="", what="", usd_month=usd, unknown=(), as_of="", how=tokens.source)
        )
    return offers
