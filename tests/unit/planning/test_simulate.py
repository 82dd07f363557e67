"""The simulation agrees with the closed forms where there are any, and does what it says where there are none."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from undercroft.planning.bounds import OutOfRange
from undercroft.planning.queueing import Queue, quantile
from undercroft.planning.scenario import Autoscaler, Clients, Provider, Routing, Scenario, Window, service_times
from undercroft.planning.simulate import simulate
from undercroft.planning.timeline import Summary

EXPONENTIAL = tuple(-math.log(1 - (place + 0.5) / 20_000) for place in range(20_000))
MIDPOINTS = [-math.log(1 - (place + 0.5) / 1000) for place in range(1000)]
ARRIVALS = 100_000


def run_of(scenario: Scenario, seed: int = 1) -> Summary:
    from msgspec.structs import replace

    return simulate(replace(scenario, seed=seed)).summary


def steady(rate: float, services: tuple[float, ...], *, replicas: int = 1, routing: Routing = "shared") -> Scenario:
    duration = ARRIVALS / rate
    return Scenario(
        rate=rate,
        duration_s=duration,
        services=services,
        replicas=replicas,
        routing=routing,
        warm_up_s=duration / 50,
        steps=1,
    )


def closed_form(scenario: Scenario, run: Summary, *, scv: float) -> Queue:
    """At the load that the run really had: its draws differ from what was asked for by as much as a percent."""
    rate = run.arrivals / scenario.duration_s
    service = run.utilisation * scenario.replicas / rate
    return Queue(rate=rate, service_s=service, servers=scenario.replicas, scv=scv)


@pytest.mark.parametrize(("servers", "utilisation"), [(1, 0.5), (4, 0.6), (10, 0.75)])
def test_exponential_service_agrees_with_erlang_c_within_two_percent(servers: int, utilisation: float) -> None:
    scenario = steady(servers * utilisation, EXPONENTIAL, replicas=servers)
    runs = [run_of(scenario, seed) for seed in range(3)]
    queues = [closed_form(scenario, run, scv=1.0) for run in runs]

    mean = statistics.fmean(run.mean_ms or 0 for run in runs)
    assert mean == pytest.approx(statistics.fmean((q.service_s + q.mean_wait_s) * 1000 for q in queues), rel=0.02)
    for share, field in ((0.5, "p50_ms"), (0.95, "p95_ms"), (0.99, "p99_ms")):
        closed = statistics.fmean(q.response_quantile_s(share, MIDPOINTS) * 1000 for q in queues)
        assert statistics.fmean(getattr(run, field) for run in runs) == pytest.approx(closed, rel=0.02)


@pytest.mark.parametrize("scv", [0.0, 0.5, 2.0])
def test_any_service_of_one_server_agrees_with_pollaczek_and_khinchine_within_two_percent(scv: float) -> None:
    services = service_times(1.0, scv)
    scenario = steady(0.6, services)
    runs = [run_of(scenario, seed) for seed in range(3)]
    # The sample's own spread: its far tail is cut off.
    queues = [closed_form(scenario, run, scv=statistics.pvariance(services)) for run in runs]

    mean = statistics.fmean(run.mean_ms or 0 for run in runs)
    assert mean == pytest.approx(statistics.fmean((q.service_s + q.mean_wait_s) * 1000 for q in queues), rel=0.02)


def test_random_routing_is_one_queue_for_each_server() -> None:
    scenario = steady(2.4, EXPONENTIAL, replicas=4, routing="random")
    run = run_of(scenario)
    whole = closed_form(scenario, run, scv=1.0)
    each = Queue(rate=whole.rate / 4, service_s=whole.service_s, servers=1)

    assert run.mean_ms == pytest.approx((each.service_s + each.mean_wait_s) * 1000, rel=0.02)


def test_looking_at_two_lies_between_one_queue_and_none() -> None:
    shared, looked, random = (
        run_of(steady(3.2, EXPONENTIAL, replicas=4, routing=routing)).p95_ms or 0
        for routing in ("shared", "least_busy", "random")
    )

    assert shared < looked < random


def test_utilisation_is_load_over_servers() -> None:
    assert run_of(steady(3.0, EXPONENTIAL, replicas=5)).utilisation == pytest.approx(0.6, rel=0.02)


def test_the_same_seed_gives_the_same_run() -> None:
    scenario = Scenario(rate=5, duration_s=500, services=EXPONENTIAL, replicas=7)

    assert simulate(scenario) == simulate(scenario)
    assert run_of(scenario, seed=2) != run_of(scenario, seed=3)


def test_a_retry_storm_outlasts_its_burst_and_patience_ends_it() -> None:
    base = Scenario(
        rate=8,
        duration_s=2000,
        services=(1.0,),
        replicas=10,
        bursts=(Window(start_s=500, end_s=560, factor=4),),
        clients=Clients(timeout_s=3, retries=0),
        steps=20,
    )
    stormy = Scenario(
        **{name: getattr(base, name) for name in base.__struct_fields__ if name != "clients"},
        clients=Clients(timeout_s=3, retries=5, backoff_s=0.1),
    )
    calm, storm = simulate(base).summary, simulate(stormy).summary

    assert calm.retries == 0
    assert storm.retries > calm.timeouts
    assert storm.timeouts > 2 * calm.timeouts, "retries make more of what they answer to"


def test_in_an_outage_every_call_fails_and_retries_carry_over_it() -> None:
    outage = Provider(outages=(Window(start_s=100, end_s=110),))
    scenario = Scenario(rate=10, duration_s=300, services=(0.1,), replicas=5, provider=outage, steps=30)
    patient = Scenario(
        rate=10,
        duration_s=300,
        services=(0.1,),
        replicas=5,
        provider=outage,
        clients=Clients(retries=6, backoff_s=0.5),
    )
    run = simulate(scenario)

    failed = [step.start_s for step in run.timeline if step.failed]
    assert failed == [100.0]
    assert run.summary.outage_failures == run.summary.failed > 50
    assert simulate(patient).summary.failed == 0


def test_a_rate_limit_lets_through_what_it_allows() -> None:
    scenario = Scenario(
        rate=20, duration_s=600, services=(0.01,), replicas=5, provider=Provider(requests_per_minute=600)
    )
    summary = simulate(scenario).summary

    assert summary.answered == pytest.approx(10 * 600, rel=0.01)
    assert summary.refused == summary.failed == summary.arrivals - summary.answered - summary.unfinished


@pytest.mark.parametrize(("policy", "target"), [("cpu", 0.6), ("queue", 2.0), ("concurrency", 1.0)])
def test_an_autoscaler_follows_a_burst_after_its_cold_start_and_goes_back(policy: str, target: float) -> None:
    scenario = Scenario(
        rate=4,
        duration_s=3600,
        services=EXPONENTIAL,
        replicas=8,
        bursts=(Window(start_s=900, end_s=1500, factor=4),),
        autoscaler=Autoscaler(policy=policy, target=target, least=6, most=60, start_s=45),  # type: ignore[arg-type]
        steps=60,
    )
    run = simulate(scenario)
    before, during, after = run.timeline[10].replicas, max(s.replicas for s in run.timeline[15:25]), run.timeline[-1]

    assert during > before
    assert during > after.replicas
    assert run.timeline[15].p95_ms is not None
    assert run.timeline[12].p95_ms is not None
    assert run.timeline[15].p95_ms > run.timeline[12].p95_ms, "the cold start is felt"


def test_replicas_that_leave_lose_nobody() -> None:
    scenario = Scenario(
        rate=2,
        duration_s=3000,
        services=EXPONENTIAL,
        replicas=20,
        routing="random",
        bursts=(Window(start_s=0, end_s=100, factor=20),),
        autoscaler=Autoscaler(policy="cpu", target=0.5, least=4, patience_s=30),
    )
    summary = simulate(scenario).summary

    assert summary.arrivals == summary.answered + summary.unfinished
    assert summary.unfinished < 20


@examples(max_examples=40)
@given(
    rate=st.floats(0.1, 20),
    replicas=st.integers(1, 6),
    slots=st.integers(1, 3),
    routing=st.sampled_from(["shared", "random", "least_busy"]),
    timeout=st.none() | st.floats(0.1, 5),
    retries=st.integers(0, 3),
    per_minute=st.none() | st.floats(10, 600),
    policy=st.sampled_from(["none", "cpu", "queue", "concurrency"]),
)
def test_every_client_is_answered_or_fails_or_is_under_way(
    rate: float,
    replicas: int,
    slots: int,
    routing: Routing,
    timeout: float | None,
    retries: int,
    per_minute: float | None,
    policy: str,
) -> None:
    scenario = Scenario(
        rate=rate,
        duration_s=120,
        services=(0.05, 0.3, 1.5),
        replicas=replicas,
        slots=slots,
        routing=routing,
        clients=Clients(timeout_s=timeout, retries=retries, backoff_s=0.2),
        provider=Provider(outages=(Window(start_s=30, end_s=40),), requests_per_minute=per_minute),
        autoscaler=Autoscaler(policy=policy, target=0.6, start_s=5, patience_s=20),  # type: ignore[arg-type]
    )
    run = simulate(scenario)
    summary = run.summary

    assert summary.arrivals == summary.answered + summary.failed + summary.unfinished
    assert summary.unfinished >= 0
    assert all(step.queue >= 0 for step in run.timeline)
    assert 0 <= summary.utilisation <= 1 or policy != "none"


def test_progress_tells_of_every_arrival() -> None:
    told: list[int] = []
    run = simulate(Scenario(rate=1000, duration_s=50, services=(0.001,), replicas=2), told.append)

    assert sum(told) == run.summary.arrivals
    assert len(told) > 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"rate": 0}, "rate is 0: it must be from 1e-06"),
        ({"rate": math.nan}, "rate is nan"),
        ({"duration_s": 1e30}, "duration_s is 1e[+]30"),
        ({"rate": 1e5, "duration_s": 1e6}, "arrivals are too many, at most 20000000; the nearest is 200"),
        ({"services": ()}, "services is empty"),
        ({"services": (-1.0,)}, "services is -1"),
        ({"replicas": 0}, "replicas is 0"),
        ({"bursts": (Window(start_s=5, end_s=1),)}, "burst.end_s is 1: it must be from 5"),
        ({"clients": Clients(timeout_s=0)}, "timeout_s is 0"),
        ({"autoscaler": Autoscaler(policy="cpu", target=5)}, "target is 5: it must be from 0.01 to 1"),
        ({"routing": "sideways"}, "routing 'sideways' is not known"),
    ],
)
def test_what_cannot_be_simulated_is_refused_by_name(change: dict[str, object], complaint: str) -> None:
    given: dict[str, object] = {"rate": 1.0, "duration_s": 10.0, "services": (1.0,), **change}

    with pytest.raises(OutOfRange, match=complaint):
        simulate(Scenario(**given))  # type: ignore[arg-type]  # checked at run time


def test_a_quantile_of_nothing_is_none() -> None:
    summary = simulate(Scenario(rate=1e-6, duration_s=1, services=(1.0,))).summary

    assert summary.arrivals == 0
    assert summary.p95_ms is None
    assert math.isnan(quantile([], 0.5))
