"""Which of several endpoints takes a call that each could take."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from undercroft.gateway.state import Pace, State
from undercroft.gateway.strategies import Strategy, choose, fastest, least_busy, lowest, settle, weighted


def shown(seconds: float, *, active: int = 0) -> State:
    return State(whole=Pace(seconds=seconds), active=active)


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


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=6), st.integers(0, 20))
def test_least_busy_never_chooses_a_busier_one(busy: list[tuple[int, int]], turn: int) -> None:
    states = [State(active=count, weight=weight) for count, weight in busy]
    chosen = states[least_busy(states, turn)]
    assert all(chosen.active * state.weight <= state.active * chosen.weight for state in states)


def test_fastest_avoids_the_slowest_and_spreads_over_the_rest() -> None:
    states = [shown(seconds) for seconds in (0.01, 0.011, 0.012, 1.0)]
    rng = random.Random(1)
    chosen = Counter(fastest(states, 0.0, rng) for _ in range(1000))
    assert chosen[3] == 0
    assert chosen[0] > chosen[1] > chosen[2] > 100


def test_fastest_weighs_latency_against_the_calls_under_way() -> None:
    assert fastest([shown(0.1, active=9), shown(0.5)], 0.0, random.Random(1)) == 1


def test_fastest_compares_streams_by_their_first_token_and_whole_answers_by_their_end() -> None:
    prompt = State(first_token=Pace(seconds=0.1), whole=Pace(seconds=20.0))
    terse = State(first_token=Pace(seconds=0.9), whole=Pace(seconds=1.0))
    states = [prompt, terse]
    assert fastest(states, 0.0, random.Random(1), streamed=True) == 0
    assert fastest(states, 0.0, random.Random(1), streamed=False) == 1


@given(
    st.sampled_from(["round_robin", "weighted", "least_busy", "fastest"]),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5), st.floats(0, 9)), min_size=1),
    st.integers(0, 1000),
)
def test_the_choice_is_always_one_of_the_endpoints(
    strategy: Strategy, given: list[tuple[int, int, float]], turn: int
) -> None:
    states = [State(weight=weight, active=active, whole=Pace(seconds=seconds)) for weight, active, seconds in given]
    assert 0 <= choose(strategy, states, turn=turn, now=5.0, rng=random.Random(turn)) < len(states)


def test_the_lowest_score_wins_and_equals_take_turns() -> None:
    assert [lowest([2.0, 1.0, 1.0], turn) for turn in range(4)] == [1, 2, 1, 2]
    assert lowest([float("inf"), 3.0], 0) == 1
    assert {lowest([float("inf")] * 2, turn) for turn in range(2)} == {0, 1}
