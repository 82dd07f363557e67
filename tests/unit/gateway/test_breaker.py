"""When an endpoint is given up, and that exactly one call at a time finds out whether it is back."""

from hypothesis import given
from hypothesis import strategies as st

from undercroft.gateway.breaker import (
    FORGET_AFTER_S,
    NEVER,
    Breaker,
    BreakerPolicy,
    enter,
    failed,
    given_up,
    lets_through,
    position,
    succeeded,
)

POLICY = BreakerPolicy(failures=3, calls=5, rest_s=10.0)


def opened(policy: BreakerPolicy = POLICY) -> Breaker:
    breaker = Breaker()
    for _ in range(policy.failures):
        failed(breaker, 0, policy, 100.0)
    assert position(breaker, 100.0) == "open"
    return breaker


def test_it_opens_after_so_many_failures_of_the_last_calls() -> None:
    breaker = Breaker()
    for ok in (False, True, False, True):
        (succeeded(breaker, 0, POLICY) if ok else failed(breaker, 0, POLICY, 100.0))
        assert position(breaker, 100.0) == "closed"
    failed(breaker, 0, POLICY, 100.0)
    assert position(breaker, 100.0) == "open"
    assert not lets_through(breaker, 109.9)


def test_failures_further_back_do_not_count() -> None:
    breaker = Breaker()
    for _ in range(20):
        failed(breaker, 0, POLICY, 100.0)
        succeeded(breaker, 0, POLICY)
        succeeded(breaker, 0, POLICY)
    assert position(breaker, 100.0) == "closed"


def test_failures_long_ago_do_not_count() -> None:
    breaker = Breaker()
    for turn in range(20):
        failed(breaker, 0, POLICY, turn * (FORGET_AFTER_S + 1))
    assert position(breaker, 21 * FORGET_AFTER_S) == "closed"


def test_a_policy_of_no_failures_never_opens() -> None:
    breaker = Breaker()
    for _ in range(1000):
        failed(breaker, 0, NEVER, 100.0)
    assert position(breaker, 100.0) == "closed"


def test_after_its_rest_one_probe_goes_and_closes_it_when_it_succeeds() -> None:
    breaker = opened()
    assert position(breaker, 110.0) == "half_open"
    assert lets_through(breaker, 110.0)
    probe = enter(breaker)
    assert probe
    assert not lets_through(breaker, 110.0)
    succeeded(breaker, probe, POLICY)
    assert position(breaker, 110.0) == "closed"
    assert enter(breaker) == 0


def test_a_failed_probe_begins_another_rest() -> None:
    breaker = opened()
    failed(breaker, enter(breaker), POLICY, 111.0)
    assert not lets_through(breaker, 120.9)
    assert lets_through(breaker, 121.0)


def test_a_probe_that_is_given_up_lets_the_next_call_be_it() -> None:
    breaker = opened()
    first = enter(breaker)
    given_up(breaker, first)
    second = enter(breaker)
    assert second != first
    given_up(breaker, first)  # told twice
    assert not lets_through(breaker, 110.0)


def test_calls_that_began_before_it_opened_neither_close_it_nor_end_its_probe() -> None:
    breaker = opened()
    probe = enter(breaker)
    succeeded(breaker, 0, POLICY)
    failed(breaker, 0, POLICY, 112.0)
    given_up(breaker, 0)
    assert breaker.probe == probe
    assert position(breaker, 112.0) == "half_open"


@given(st.lists(st.tuples(st.sampled_from(["go", "good", "bad", "left", "wait"]), st.integers(0, 5)), max_size=80))
def test_never_two_probes_at_once_whatever_happens(steps: list[tuple[str, int]]) -> None:
    breaker, now = Breaker(), 100.0
    under_way: list[int] = []
    for what, which in steps:
        if what == "wait":
            now += which * 3
        elif what == "go":
            if lets_through(breaker, now):
                under_way.append(enter(breaker))
        elif under_way:
            probe = under_way.pop(which % len(under_way))
            if what == "good":
                succeeded(breaker, probe, POLICY)
            elif what == "bad":
                failed(breaker, probe, POLICY, now)
            else:
                given_up(breaker, probe)
        assert sum(1 for probe in under_way if probe) <= 1
        if breaker.open_until > now:
            assert not lets_through(breaker, now)
