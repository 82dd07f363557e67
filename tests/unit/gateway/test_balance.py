"""How endpoints are chosen."""

import random
import threading
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from undercroft.gateway.balance import (
    FAILURES_BEFORE_REST,
    REST_S,
    Balancer,
    LoadBalancer,
    State,
    Strategy,
    after_call,
    choose,
    expected_s,
    fastest,
    least_busy,
    settle,
    usable,
    weighted,
)


def balancer_of(names: str, strategy: Strategy = "round_robin") -> tuple[Balancer[str], ManualClock]:
    clock = ManualClock()
    return Balancer(names, strategy, rng=random.Random(1), monotonic=clock.monotonic), clock


def test_round_robin_takes_turns() -> None:
    balancer = LoadBalancer(["a", "b", "c"])
    assert [balancer.get_endpoint() for _ in range(7)] == ["a", "b", "c", "a", "b", "c", "a"]


def test_an_empty_list_is_refused_at_construction() -> None:
    with pytest.raises(ValueError, match="at least one"):
        LoadBalancer([])


@pytest.mark.parametrize(
    ("endpoints", "options", "said"),
    [
        (["a", "a"], {}, "listed twice"),
        ("http://a", {}, "not one string"),
        (["a"], {"strategy": "best"}, "round_robin, weighted, least_busy, fastest"),
        (["a", "b"], {"strategy": "weighted", "weights": [1]}, "weight"),
        (["a", "b"], {"strategy": "weighted", "weights": [1, 0]}, "weight"),
        (["a", "b"], {"strategy": "weighted", "weights": []}, "weight"),
    ],
)
def test_nonsense_is_refused_at_construction(endpoints: list[str], options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LoadBalancer(endpoints, **options)  # type: ignore[arg-type]  # nonsense on purpose


@pytest.mark.parametrize("strategy", ["round_robin", "weighted", "least_busy", "fastest"])
def test_unhealthy_endpoints_are_skipped_until_they_are_back(strategy: Strategy) -> None:
    balancer = LoadBalancer(["a", "b", "c"], strategy)
    balancer.mark_unhealthy("b")
    seen = []
    for _ in range(40):
        with balancer.use() as endpoint:
            seen.append(endpoint)
    assert set(seen) == {"a", "c"}
    balancer.mark_healthy("b")
    assert "b" in [balancer.get_endpoint() for _ in range(40)]


def test_the_load_of_an_unhealthy_endpoint_is_shared_by_all_others() -> None:
    balancer = LoadBalancer(["a", "b", "c", "d"])
    balancer.mark_unhealthy("b")
    assert set(Counter(balancer.get_endpoint() for _ in range(300)).values()) == {100}


def test_with_no_healthy_endpoint_all_are_tried() -> None:
    balancer = LoadBalancer(["a", "b"])
    balancer.mark_unhealthy("a")
    balancer.mark_unhealthy("b")
    assert {balancer.get_endpoint() for _ in range(4)} == {"a", "b"}


def test_an_endpoint_that_keeps_failing_rests_and_comes_back() -> None:
    balancer, clock = balancer_of("ab")
    for _ in range(FAILURES_BEFORE_REST):
        balancer.started("a")
        balancer.finished("a", ok=False)
    assert {balancer.choose() for _ in range(4)} == {"b"}
    clock.advance(REST_S + 0.1)
    assert {balancer.choose() for _ in range(4)} == {"a", "b"}


def test_failures_with_successes_between_them_are_no_reason_to_rest() -> None:
    balancer, _ = balancer_of("ab")
    for ok in (False, False, True) * 5:
        balancer.finished("a", ok=ok)
    assert {balancer.choose() for _ in range(4)} == {"a", "b"}


def test_the_last_endpoint_never_rests() -> None:
    balancer, _ = balancer_of("a")
    for _ in range(10):
        balancer.finished("a", ok=False)
    assert balancer.choose() == "a"


def test_a_resting_endpoint_is_preferred_to_one_that_is_marked_unhealthy() -> None:
    assert usable([State(is_out=True), State(resting_until=9.0)], 1.0) == [1]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_weights_are_kept_exactly_over_a_full_round(weights: list[int]) -> None:
    states = [State(weight=weight) for weight in weights]
    chosen: Counter[int] = Counter()
    for _ in range(sum(weights)):
        index = weighted(states)
        settle(states, index)
        chosen[index] += 1
    assert [chosen[index] for index in range(len(weights))] == weights
    assert all(state.owed == 0 for state in states)


def test_a_heavy_endpoint_does_not_come_in_one_lump() -> None:
    balancer = LoadBalancer(["heavy", "light"], "weighted", weights=[3, 1])
    assert "".join(balancer.get_endpoint()[0] for _ in range(8)) == "hhlhhhlh"


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=6), st.integers(0, 20))
def test_least_busy_never_chooses_a_busier_one(busy: list[tuple[int, int]], turn: int) -> None:
    states = [State(active=count, weight=weight) for count, weight in busy]
    chosen = states[least_busy(states, turn)]
    assert all(chosen.active * state.weight <= state.active * chosen.weight for state in states)


def test_least_busy_counts_what_is_under_way() -> None:
    balancer = LoadBalancer(["a", "b"], "least_busy")
    with balancer.use() as first:
        assert {balancer.get_endpoint(), first} == {"a", "b"}
    assert balancer.get_endpoint() == first


def test_equally_busy_endpoints_take_turns() -> None:
    balancer, _ = balancer_of("abc", "least_busy")
    assert {balancer.choose() for _ in range(3)} == {"a", "b", "c"}


def test_fastest_avoids_the_slowest_and_spreads_over_the_rest() -> None:
    states = [State(latency_s=latency) for latency in (0.01, 0.011, 0.012, 1.0)]
    rng = random.Random(1)
    chosen = Counter(fastest(states, 0.0, rng) for _ in range(1000))
    assert chosen[3] == 0
    assert chosen[0] > chosen[1] > chosen[2] > 100


def test_fastest_weighs_latency_against_the_calls_under_way() -> None:
    assert fastest([State(latency_s=0.1, active=9), State(latency_s=0.5, active=0)], 0.0, random.Random(1)) == 1


def test_an_endpoint_that_fails_fast_is_not_the_fastest() -> None:
    balancer, _ = balancer_of("ab", "fastest")
    balancer.finished("a", ok=False, seconds=0.001)
    balancer.finished("b", ok=True, seconds=0.4)
    assert {balancer.choose() for _ in range(20)} == {"b"}


def test_who_was_slow_once_is_tried_again_later() -> None:
    balancer, clock = balancer_of("ab", "fastest")
    balancer.finished("a", ok=True, seconds=30.0)
    for _ in range(100):
        balancer.finished("b", ok=True, seconds=0.5)
        clock.advance(1)
    assert balancer.choose() == "a"


@given(st.lists(st.floats(0.001, 50.0), min_size=1, max_size=20))
def test_the_latency_shown_stays_between_the_best_and_the_worst_measured(latencies: list[float]) -> None:
    state = State()
    for now, latency in enumerate(latencies):
        after_call(state, ok=True, seconds=latency, now=float(now))
    assert min(latencies) * 0.999 <= state.latency_s <= max(latencies) * 1.001
    assert expected_s(state, float(len(latencies) - 1)) == state.latency_s


@given(
    st.sampled_from(["round_robin", "weighted", "least_busy", "fastest"]),
    st.lists(
        st.builds(State, weight=st.integers(1, 5), active=st.integers(0, 5), latency_s=st.floats(0, 9)), min_size=1
    ),
    st.integers(0, 1000),
)
def test_the_choice_is_always_one_of_the_endpoints(strategy: Strategy, states: list[State], turn: int) -> None:
    assert 0 <= choose(strategy, states, turn=turn, now=5.0, rng=random.Random(turn)) < len(states)


def test_use_reports_an_exception_as_a_failure_and_lets_it_through() -> None:
    balancer = LoadBalancer(["a", "b"])

    def call() -> None:
        with balancer.use():
            raise ConnectionError

    for _ in range(FAILURES_BEFORE_REST * 2):
        with pytest.raises(ConnectionError):
            call()
    assert all(state.failures >= FAILURES_BEFORE_REST for state in balancer._balancer._all)


def test_threads_share_the_turns_evenly() -> None:
    balancer = LoadBalancer(["a", "b", "c"])
    seen: list[Counter[str]] = []

    def take() -> None:
        seen.append(Counter(balancer.get_endpoint() for _ in range(3000)))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(sum(seen, Counter[str]()).values()) == {8000}


def test_a_busy_count_never_goes_below_zero() -> None:
    balancer = LoadBalancer(["a"], "least_busy")
    balancer.report("a", ok=True)
    assert [state.active for state in balancer._balancer._all] == [0]


def test_weighted_turns_do_not_repeat_when_they_need_not() -> None:
    balancer = LoadBalancer(["a", "b", "c"], "weighted", weights=[2, 2, 2])
    turns = [balancer.get_endpoint() for _ in range(12)]
    assert all(one != following for one, following in pairwise(turns))
