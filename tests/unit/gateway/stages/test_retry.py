"""When to try again, and how often at most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.errors import UpstreamOverloaded, UpstreamRefused
from undercroft.gateway.stages.retry import RetryBudget, RetryPolicy, after_failure

POLICY = RetryPolicy()


@given(st.integers(1, 2), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 30))
def test_a_wait_is_never_below_retry_after_and_always_fits(
    attempt: int, jitter: float, retry_after_s: float | None
) -> None:
    error = UpstreamOverloaded("busy", retry_after_s=retry_after_s)
    wait_s = after_failure(
        error,
        attempt=attempt,
        policy=POLICY,
        jitter=jitter,
        remaining_s=31,
    )
    assert wait_s is not None
    assert (retry_after_s or 0) <= wait_s < 31


@pytest.mark.parametrize(("attempt", "remaining_s", "retry_after_s"), [(3, 60, 0), (1, 1, 2)])
def test_it_gives_up_when_tries_or_time_are_used_up(attempt: int, remaining_s: float, retry_after_s: float) -> None:
    error = UpstreamOverloaded("busy", retry_after_s=retry_after_s)
    assert after_failure(error, attempt=attempt, policy=POLICY, jitter=0.5, remaining_s=remaining_s) is None


def test_another_deployment_that_can_take_the_call_is_not_waited_for() -> None:
    error = UpstreamOverloaded("busy", retry_after_s=90)
    assert after_failure(error, attempt=1, policy=POLICY, jitter=0.5, remaining_s=60, has_other=True) == 0.0
    assert after_failure(error, attempt=3, policy=POLICY, jitter=0.5, remaining_s=60, has_other=True) is None


def test_it_gives_up_on_what_another_try_cannot_mend() -> None:
    error = UpstreamRefused("no", upstream_status=400)
    assert after_failure(error, attempt=1, policy=POLICY, jitter=0.5, remaining_s=60) is None


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
