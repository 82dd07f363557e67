"""A whole plan: what follows from what, and what is never hidden."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.errors import InvalidRequest
from undercroft.planning.bounds import OutOfRange
from undercroft.planning.estimate import estimate_resources
from undercroft.planning.gpu import Gpu, SelfHosted, Weights
from undercroft.planning.own_prices import NONE, OwnPrices
from undercroft.planning.plan import Plan, make_plan
from undercroft.planning.token_prices import TokenCost
from undercroft.planning.workload import Workload, workload_of

HOSTED = SelfHosted(
    model=Weights(parameters=8e9, layers=32, kv_heads=8, head_dim=128),
    gpu=Gpu(name="l4", memory_gib=22, bandwidth_gb_s=300, tflops=120),
)


def plan_of(
    prices: OwnPrices = NONE, tokens: TokenCost | None = None, hosted: SelfHosted | None = None, **fields: Any
) -> Plan:
    workload = Workload(**{"daily_requests": 1e6, "avg_ms": 200.0} | fields)
    return make_plan(workload, prices=prices, tokens=tokens, hosted=hosted)


def test_the_short_answer_stands_at_the_top() -> None:
    plan = plan_of(peak_factor=4.0, cpu_fraction=0.5, retention_days=10)
    short = estimate_resources(1e6, 200, 4.0, cpu_fraction=0.5, retention_days=10)

    assert short.items() <= msgspec.to_builtins(plan).items()


def test_replicas_hold_the_cores_and_the_target() -> None:
    lax, strict = plan_of(), plan_of(p95_target_ms=900.0)

    assert lax.capacity.replicas == math.ceil(1e6 / 86_400 * 3 * 0.2 / 0.8)
    assert lax.capacity.utilisation <= 0.8
    assert strict.capacity.replicas > lax.capacity.replicas
    assert strict.capacity.meets_target
    assert (strict.capacity.random_routing.p95_ms or math.inf) <= 900


def test_one_replica_fewer_would_miss_the_target() -> None:
    from undercroft.planning.replicas import plan_capacity

    workload = Workload(daily_requests=1e6, avg_ms=200, p95_target_ms=900)
    fewest = plan_capacity(workload).replicas

    assert plan_capacity(workload, replicas=fewest - 1).meets_target is False


def test_one_queue_is_never_slower_than_random_routing() -> None:
    capacity = plan_of().capacity

    for field in ("p50_ms", "p95_ms", "p99_ms"):
        assert getattr(capacity.shared_queue, field) <= getattr(capacity.random_routing, field)


def test_a_target_below_the_work_itself_is_told() -> None:
    plan = plan_of(p95_target_ms=100.0)

    assert plan.capacity.meets_target is False
    assert any("no number of replicas meets p95_target_ms 100" in warning for warning in plan.warnings)


def test_what_waits_is_bound_by_concurrency_and_what_computes_by_cpu() -> None:
    waiting = plan_of(cpu_fraction=0.001, avg_ms=5000.0, concurrency_per_replica=20)

    assert plan_of().capacity.bottleneck.name == "CPU"
    assert waiting.capacity.bottleneck.name == "concurrency"
    assert waiting.capacity.replicas == math.ceil(1e6 / 86_400 * 3 * 5 / 0.8 / 20)


def test_a_provider_that_allows_too_little_is_the_first_bottleneck() -> None:
    plan = plan_of(provider_requests_per_minute=600.0)

    assert plan.capacity.bottleneck.name == "provider limit"
    assert plan.capacity.max_rate == pytest.approx(10)
    assert any("provider limit is overrun" in warning for warning in plan.warnings)


def test_the_peak_comes_from_the_curve_where_there_is_one() -> None:
    plan = plan_of(curve=(*[1.0] * 23, 7.0))

    assert plan.peak_factor == pytest.approx(7 * 24 / 30)
    assert plan.peak_rate == pytest.approx(1e6 * 7 / 30 / 3600)


def test_scaling_by_the_hour_needs_fewer_replica_hours_and_a_slow_start_spare_ones() -> None:
    slow = plan_of(scale_up_s=1800.0, daily_requests=1e7)

    assert slow.capacity.replica_hours_a_day < 24 * slow.capacity.replicas
    assert slow.capacity.lag_replicas > plan_of(daily_requests=1e7).capacity.lag_replicas


def test_a_price_that_is_not_known_is_in_no_total_and_told() -> None:
    unknown = TokenCost(usd=None, source="no price is known for model x/y")
    plan = plan_of(tokens=unknown)
    lines = {each.name: each for each in plan.monthly}

    assert lines["tokens"].likely is None
    assert {"tokens", "egress", "load_balancer", "database", "redis"} == set(plan.unknown)
    assert plan.monthly_total.likely == pytest.approx(sum(each.likely or 0 for each in plan.monthly), abs=0.01)
    assert unknown.source in plan.warnings
    assert any("leaves out what is unknown" in warning for warning in plan.warnings)


def test_a_price_of_your_own_enters_the_total() -> None:
    prices = OwnPrices(egress_usd_per_gb=0.1, load_balancer_usd_month=20, database_usd_month=50, redis_usd_month=15)
    plan, without = plan_of(prices), plan_of()

    assert plan.unknown == ()
    egress = 1e6 * 365 / 12 * 700 / 1e9 * 0.1
    assert plan.monthly_total.likely - without.monthly_total.likely == pytest.approx(85 + egress, abs=0.02)


def test_tokens_cost_their_price_times_the_month() -> None:
    plan = plan_of(tokens=TokenCost(usd=0.001, source="book"), tokens_in=1.0)
    tokens = next(each for each in plan.monthly if each.name == "tokens")

    assert tokens.low is not None
    assert tokens.likely is not None
    assert tokens.high is not None
    assert tokens.likely == pytest.approx(1e6 * 365 / 12 * 0.001)
    assert tokens.low < tokens.likely < tokens.high


def test_gpus_are_counted_and_priced() -> None:
    plan = plan_of(hosted=HOSTED, tokens_in=500.0, tokens_out=200.0, daily_requests=1e5)

    assert plan.serving is not None
    gpus = next(each for each in plan.monthly if each.name == "gpus")
    assert gpus.likely is not None
    assert "g2-standard-4" in gpus.how


def test_every_number_says_where_it_comes_from() -> None:
    plan = plan_of(measured=frozenset({"avg_ms"}), cpu_fraction=0.3)
    basis = {each.name: each.basis for each in plan.assumptions}

    assert basis["avg_ms"] == "measured"
    assert basis["cpu_fraction"] == basis["daily_requests"] == "given"
    assert basis["service_scv"] == basis["cpu_target"] == "assumed"


@given(
    daily=st.floats(1, 1e10),
    avg_ms=st.floats(0.001, 3.6e6),
    share=st.floats(0, 1),
    peak=st.floats(1, 24),
    scv=st.floats(0, 10),
    target=st.none() | st.floats(1, 3.6e6),
)
def test_any_workload_has_a_plan_with_ordered_ranges(
    daily: float, avg_ms: float, share: float, peak: float, scv: float, target: float | None
) -> None:
    plan = plan_of(
        daily_requests=daily, avg_ms=avg_ms, cpu_fraction=share, peak_factor=peak, service_scv=scv, p95_target_ms=target
    )

    assert plan.capacity.utilisation <= 0.8 + 1e-9
    assert plan.capacity.replicas >= 1
    assert 0 < plan.monthly_total.low <= plan.monthly_total.likely <= plan.monthly_total.high
    assert b"NaN" not in msgspec.json.encode(plan)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("daily_requests", 0),
        ("daily_requests", 1e30),
        ("avg_ms", 0),
        ("avg_ms", math.nan),
        ("peak_factor", 0.5),
        ("cpu_fraction", 1.5),
        ("p95_target_ms", -1),
        ("tokens_in", -1),
        ("retention_days", math.inf),
        ("cores_per_replica", 0),
        ("vectors", -1),
        ("response_bytes", -1),
        ("provider_requests_per_minute", 0),
        ("scale_up_s", -1),
    ],
)
def test_an_input_from_which_no_plan_can_be_made_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(OutOfRange, match=rf"^{field} is .*: it must be from") as refused:
        plan_of(**dict[str, Any]({field: value}))
    assert refused.value.param == field


def test_what_is_given_goes_before_what_was_measured() -> None:
    measured = {"daily_requests": 5e4, "avg_ms": 300.0, "curve": tuple([1.0] * 24), "model": "local/x"}

    workload = workload_of({"avg_ms": 100.0, "peak_factor": 5.0}, measured)

    assert (workload.daily_requests, workload.avg_ms, workload.peak) == (5e4, 100.0, 5.0)
    assert workload.measured == {"daily_requests", "model"}


def test_a_workload_without_its_first_two_numbers_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="avg_ms is missing"):
        workload_of({"daily_requests": 10}, {})
