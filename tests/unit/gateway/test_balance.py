"""How endpoints are chosen."""

import random
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.gateway.balance import Balancer, LoadBalancer, State, fastest, least_busy, next_by_weight, next_in_turn


def test_round_robin_takes_turns() -> None:
    balancer = LoadBalancer(["a", "b", "c"])
    assert [balancer.get_endpoint() for _ in range(7)] == ["a", "b", "c", "a", "b", "c", "a"]


def test_an_empty_list_is_refused_at_construction() -> None:
    with pytest.raises(ValueError, match="at least one"):
        LoadBalancer([])


@pytest.mark.parametrize(
    ("endpoints", "options"),
    [
        (["a", "a"], {}),
        (["a"], {"strategy": "best"}),
        (["a", "b"], {"strategy": "weighted", "weights": [1]}),
        (["a", "b"], {"strategy": "weighted", "weights": [1, 0]}),
    ],
)
def test_nonsense_is_refused_at_construction(endpoints: list[str], options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        LoadBalancer(endpoints, **options)  # type: ignore[arg-type]  # nonsense on purpose


def test_unhealthy_endpoints_are_skipped_until_they_are_back() -> None:
    balancer = LoadBalancer(["a", "b", "c"])
    balancer.mark_unhealthy("b")
    assert [balancer.get_endpoint() for _ in range(4)] == ["a", "c", "a", "c"]
    balancer.mark_healthy("b")
    assert "b" in [balancer.get_endpoint() for _ in range(3)]


def test_with_no_healthy_endpoint_all_are_tried() -> None:
    balancer = LoadBalancer(["a", "b"])
    balancer.mark_unhealthy("a")
    balancer.mark_unhealthy("b")
    assert {balancer.get_endpoint() for _ in range(4)} == {"a", "b"}


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_weights_are_kept_exactly_over_a_full_round(weights: list[int]) -> None:
    states = [State(weight=weight) for weight in weights]
    chosen = Counter(next_by_weight(states, range(len(states))) for _ in range(sum(weights)))
    assert [chosen[place] for place in range(len(weights))] == weights


def test_a_heavy_endpoint_does_not_come_in_one_lump() -> None:
    balancer = LoadBalancer(["heavy", "light"], "weighted", weights=[3, 1])
    assert [balancer.get_endpoint() for _ in range(4)].count("heavy") == 3
    assert [balancer.get_endpoint() for _ in range(4)][:2] != ["light", "light"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=6), st.integers(-1, 6))
def test_least_busy_never_chooses_a_busier_one(busy: list[tuple[int, int]], last: int) -> None:
    states = [State(busy=count, weight=weight) for count, weight in busy]
    chosen = states[least_busy(states, range(len(states)), last)]
    assert all(chosen.busy / chosen.weight <= state.busy / state.weight for state in states)


def test_least_busy_counts_what_is_under_way() -> None:
    balancer = LoadBalancer(["a", "b"], "least_busy")
    balancer.started("a")
    assert {balancer.get_endpoint() for _ in range(5)} == {"b"}
    balancer.finished("a")
    balancer.started("b")
    assert balancer.get_endpoint() == "a"


def test_fastest_prefers_the_faster_one_but_not_always() -> None:
    states = [State(latency_s=0.01), State(latency_s=1.0)]
    rng = random.Random(1)
    chosen = Counter(fastest(states, [0, 1], rng) for _ in range(1000))
    assert 700 <= chosen[0] <= 800  # three draws of four include the fast one


def test_a_latency_moves_the_average_by_a_fifth() -> None:
    balancer = Balancer(["a", "b"], strategy="fastest", rng=random.Random(1))
    for seconds in (1.0, 2.0):
        balancer.started("a")
        balancer.finished("a", ok=True, seconds=seconds)
    assert balancer._states[0].latency_s == pytest.approx(1.2)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True).map(sorted), st.integers(-1, 9))
def test_a_turn_is_always_one_of_the_choices(choices: list[int], last: int) -> None:
    assert next_in_turn(choices, last) in choices


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
    total = sum(seen, Counter())
    assert set(total.values()) == {8000}
