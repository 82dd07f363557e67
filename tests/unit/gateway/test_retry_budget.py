"""Retries stay a tenth of the calls, whatever happens."""

from hypothesis import given
from hypothesis import strategies as st

from undercroft.gateway.retry_budget import FREE_RETRIES, SHARE, WINDOW_S, RetryBudget


def test_the_first_ten_retries_of_a_window_are_always_allowed_and_no_more() -> None:
    budget = RetryBudget()
    budget.called(0.0)
    assert [budget.take(1.0) for _ in range(11)] == [True] * 10 + [False]
    assert budget.take(11.1)


def test_a_total_outage_adds_a_tenth_of_the_calls() -> None:
    budget = RetryBudget()
    taken = 0
    for number in range(1000):
        budget.called(number / 1000)
        taken += budget.take(number / 1000)
    assert taken <= 100


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=300))
def test_no_window_of_seconds_holds_more_than_its_share(steps: list[tuple[float, bool]]) -> None:
    budget, now = RetryBudget(), 100.0
    calls: list[int] = []
    retries: list[int] = []
    for passed, is_call in steps:
        now += passed
        if is_call:
            budget.called(now)
            calls.append(int(now))
        elif budget.take(now):
            retries.append(int(now))
            since = int(now) - WINDOW_S
            held = sum(second > since for second in retries)
            assert held <= max(FREE_RETRIES, SHARE * sum(second > since for second in calls) + 1)
