"""What is known of endpoints, who of them may be asked, and what each call adds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.gateway.breaker import NEVER, Breaker, BreakerPolicy
from undercroft.gateway.state import (
    BAD,
    FAILURES_BEFORE_REST,
    GOOD,
    SILENT,
    Ask,
    Condition,
    Nobody,
    Pace,
    State,
    Terms,
    Verdict,
    Why,
    after_call,
    candidates,
    condition,
)

NOW = 100.0


def resting(until: float, why: Why = "failures", **more: object) -> State:
    return State(resting_until=until, resting_for=why, **more)  # type: ignore[arg-type]  # passed through


def full(*, may_wait: int = 2, wait_s: float = 5.0, priority: int = 0) -> State:
    terms = Terms(priority=priority, max_concurrency=1, max_waiting=may_wait, max_wait_s=wait_s)
    return State(active=1, terms=terms)


def at(priority: int) -> State:
    return State(terms=Terms(priority=priority))


def broken(until: float, probe: int = 0) -> State:
    return State(breaker=Breaker(open_until=until, probe=probe))


def test_all_healthy_ones_are_candidates() -> None:
    assert candidates([State(), State()], Ask(), NOW) == [0, 1]


def test_the_next_priority_answers_only_when_nothing_better_can() -> None:
    assert candidates([at(1), at(0), at(0)], Ask(), NOW) == [1, 2]
    assert candidates([at(1), resting(NOW + 1), at(2)], Ask(), NOW) == [0]
    assert candidates([at(1), full(), at(2)], Ask(), NOW) == [0]
    assert candidates([at(1), broken(NOW + 1)], Ask(), NOW) == [0]
    assert candidates([at(1), at(0)], Ask(fits=(0,)), NOW) == [0]


def test_a_full_one_is_skipped_when_another_has_room() -> None:
    assert candidates([full(), State()], Ask(), NOW) == [1]


def test_with_all_full_it_says_how_many_may_wait_and_how_long() -> None:
    assert candidates([full(may_wait=2, wait_s=5.0), full(may_wait=3, wait_s=7.0)], Ask(), NOW) == Nobody(
        why="full", may_wait=5, wait_s=7.0
    )


def test_a_place_is_waited_for_rather_than_asking_who_rests() -> None:
    found = candidates([full(), resting(NOW + 4)], Ask(), NOW)
    assert isinstance(found, Nobody)
    assert (found.why, found.again_at) == ("full", NOW + 4)


def test_who_failed_in_this_call_is_asked_again_only_when_nobody_else_is_well() -> None:
    assert candidates([State(), State()], Ask(tried=(0,)), NOW) == [1]
    assert candidates([State(), resting(NOW + 1)], Ask(tried=(0,)), NOW) == [0]
    assert candidates([State(), State()], Ask(tried=(0, 1)), NOW) == [0, 1]
    assert candidates([at(0), at(1)], Ask(tried=(0,)), NOW) == [1]


def test_with_nobody_well_one_that_rests_after_failures_is_tried() -> None:
    assert candidates([resting(NOW + 1), State(is_out=True)], Ask(), NOW) == [0]
    assert candidates([resting(NOW + 1, "credential")], Ask(), NOW) == [0]
    assert candidates([State(is_out=True)], Ask(), NOW) == [0]


def test_a_pause_that_a_provider_asked_for_is_kept_while_it_fits_the_calls_time() -> None:
    paused = resting(NOW + 5, "rate_limited")
    assert candidates([paused], Ask(deadline=NOW + 60), NOW) == Nobody(why="resting", again_at=NOW + 5)
    assert candidates([paused, State(is_out=True)], Ask(deadline=NOW + 60), NOW) == Nobody(
        why="resting", again_at=NOW + 5
    )
    assert candidates([paused, State(is_out=True)], Ask(deadline=NOW + 4), NOW) == [1]
    assert candidates([paused], Ask(), NOW + 5) == [0]


def test_what_the_breaker_holds_back_is_not_asked_even_when_it_is_the_last() -> None:
    assert candidates([broken(NOW + 9), broken(NOW + 3)], Ask(), NOW) == Nobody(why="open", again_at=NOW + 3)
    assert candidates([broken(NOW, probe=7)], Ask(), NOW) == Nobody(why="open", again_at=math.inf)
    assert candidates([broken(NOW)], Ask(), NOW) == [0]


@given(
    st.lists(
        st.builds(
            State,
            active=st.integers(0, 2),
            terms=st.builds(Terms, priority=st.integers(0, 2), max_concurrency=st.sampled_from([None, 1, 2])),
            resting_until=st.sampled_from([0.0, NOW - 1, NOW + 1, NOW + 100]),
            resting_for=st.sampled_from(["failures", "rate_limited", "credential"]),
            is_out=st.booleans(),
            breaker=st.builds(
                Breaker, open_until=st.sampled_from([0.0, NOW - 1, NOW + 1]), probe=st.sampled_from([0, 3])
            ),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sets(st.integers(0, 4)),
)
def test_candidates_fit_have_room_and_share_one_priority(states: list[State], tried: set[int]) -> None:
    fits = tuple(range(0, len(states), 2))
    found = candidates(states, Ask(fits=fits, tried=tuple(tried), deadline=NOW + 50), NOW)
    if isinstance(found, Nobody):
        assert found.again_at > NOW
        return
    assert found
    assert set(found) <= set(fits)
    assert all(states[index].has_room for index in found)
    assert len({states[index].terms.priority for index in found}) == 1


def after(*verdicts: Verdict, state: State | None = None, now: float = NOW, probe: int = 0) -> State:
    state = state or State()
    for verdict in verdicts:
        after_call(state, verdict, probe=probe, policy=NEVER, now=now)
    return state


def test_failures_in_a_row_make_it_rest() -> None:
    assert after(*[BAD] * (FAILURES_BEFORE_REST - 1)).resting_until == 0
    state = after(*[BAD] * FAILURES_BEFORE_REST)
    assert (state.resting_until, state.resting_for) == (NOW + NEVER.rest_s, "failures")
    assert after(BAD, BAD, GOOD, BAD, BAD).resting_until == 0


def test_a_call_that_says_nothing_changes_nothing() -> None:
    assert after(BAD, BAD, SILENT) == after(BAD, BAD)
    assert after(SILENT) == State()


def test_a_success_ends_a_rest_after_failures_but_not_a_pause_that_was_asked_for() -> None:
    assert after(*[BAD] * FAILURES_BEFORE_REST, GOOD).resting_until == 0
    pause = Verdict(ok=None, rest_s=30.0, why="rate_limited")
    state = after(pause, GOOD)
    assert (state.resting_until, state.resting_for) == (NOW + 30, "rate_limited")
    assert after(GOOD, state=state, now=NOW + 30).resting_for == ""


def test_the_longer_of_two_rests_holds() -> None:
    longer = Verdict(ok=None, rest_s=60.0, why="credential")
    shorter = Verdict(ok=None, rest_s=2.0, why="rate_limited")
    for verdicts in ((longer, shorter), (shorter, longer)):
        state = after(*verdicts)
        assert (state.resting_until, state.resting_for) == (NOW + 60, "credential")


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (State(), "ok"),
        (State(is_out=True), "unhealthy"),
        (resting(NOW + 1), "resting"),
        (resting(NOW), "ok"),
        (broken(NOW + 1), "open"),
        (broken(NOW), "half_open"),
        (broken(NOW, probe=1), "open"),
    ],
)
def test_a_condition_is_a_word(state: State, word: Condition) -> None:
    assert condition(state, NOW) == word


def test_a_breaker_opens_by_its_policy() -> None:
    state, policy = State(), BreakerPolicy(failures=2, calls=4)
    for _ in range(2):
        after_call(state, BAD, probe=0, policy=policy, now=NOW)
    assert condition(state, NOW) == "open"


@given(st.lists(st.floats(0.001, 50.0), min_size=1, max_size=20))
def test_the_average_stays_between_the_best_and_the_worst_measured(latencies: list[float]) -> None:
    pace = Pace()
    for now, latency in enumerate(latencies):
        pace.measure(latency, float(now))
    assert min(latencies) * 0.999 <= pace.seconds <= max(latencies) * 1.001
    assert pace.expected(float(len(latencies) - 1)) == pace.seconds
