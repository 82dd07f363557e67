"""Where a job goes from where it is."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.jobs import changed, row
from undercroft.errors import Conflict
from undercroft.jobs.lifecycle import CRASH_LIMIT, WAYS, after_run, retried
from undercroft.jobs.types import (
    ENDED,
    Blame,
    Failed,
    Failure,
    Job,
    Lost,
    Outcome,
    Released,
    State,
    Stopped,
    Succeeded,
)

HOUR_US = 3_600_000_000
failures = st.builds(
    Failure,
    code=st.just("odd"),
    message=st.just("odd"),
    blame=st.sampled_from(get_args(Blame)),
    retry_after_s=st.floats(0, 1e6),
)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.just(Succeeded(b"1")), st.builds(Failed, failures), st.just(Stopped()), st.just(Released()), st.just(Lost())
)
running = st.builds(
    changed,
    st.just(row(state="running", deadline_us=HOUR_US)),
    attempts=st.integers(0, 5),
    runs=st.integers(1, 9),
    crashes=st.integers(0, 3),
    cancel_requested=st.booleans(),
)


@given(running, outcomes, st.integers(0, 2 * HOUR_US), st.floats(0, 1, exclude_max=True))
def test_a_run_leads_where_there_is_a_way_and_says_why_it_ended(
    job: Job, outcome: Outcome, now_us: int, jitter: float
) -> None:
    step = after_run(job, outcome, now_us=now_us, jitter=jitter)
    assert step.state in WAYS["running"]
    assert (step.state == "succeeded") == isinstance(outcome, Succeeded)
    assert (step.state in ("dead", "cancelled")) <= (step.failure is not None)
    assert (step.delay_us > 0) <= (step.state == "delayed")
    assert job.attempts <= step.attempts <= job.attempts + 1
    if job.cancel_requested and not isinstance(outcome, Succeeded):
        assert step.state == "cancelled"


@given(running, failures, st.integers(0, 2 * HOUR_US), st.floats(0, 1, exclude_max=True))
def test_no_wait_goes_past_the_deadline_or_below_what_was_asked_for(
    job: Job, failure: Failure, now_us: int, jitter: float
) -> None:
    step = after_run(job, Failed(failure), now_us=now_us, jitter=jitter)
    if step.state == "delayed":
        assert now_us + step.delay_us < job.deadline_us
        assert step.delay_us >= round(failure.retry_after_s * 1_000_000)


@given(running, st.floats(0, 1, exclude_max=True))
def test_an_outage_costs_no_attempt(job: Job, jitter: float) -> None:
    away = Failure(code="upstream_overloaded", message="away", blame="outage")
    step = after_run(changed(job, cancel_requested=False), Failed(away), now_us=0, jitter=jitter)
    assert (step.state, step.attempts) == ("delayed", job.attempts)


def test_the_last_attempt_ends_it() -> None:
    odd = Failed(Failure(code="odd", message="odd"))
    job = row(state="running", deadline_us=HOUR_US, max_attempts=2)
    assert after_run(job, odd, now_us=0, jitter=0).state == "delayed"
    assert after_run(changed(job, attempts=1), odd, now_us=0, jitter=0).state == "dead"


def test_a_final_failure_is_not_tried_again() -> None:
    wrong = Failed(Failure(code="invalid_request", message="wrong", blame="final"))
    assert after_run(row(state="running", deadline_us=HOUR_US), wrong, now_us=0, jitter=0).state == "dead"


def test_a_lost_run_is_run_again_until_there_were_too_many() -> None:
    job = row(state="running", deadline_us=HOUR_US)
    for crashes in range(CRASH_LIMIT):
        step = after_run(changed(job, crashes=crashes), Lost(), now_us=0, jitter=0)
        assert step.state == ("dead" if crashes + 1 == CRASH_LIMIT else "queued")


@pytest.mark.parametrize("state", get_args(State))
def test_only_what_is_dead_or_cancelled_can_be_retried(state: State) -> None:
    if state in ("dead", "cancelled"):
        retried(row(state=state))
    else:
        with pytest.raises(Conflict):
            retried(row(state=state))


def test_every_state_has_its_ways_and_the_end_is_reached_from_all() -> None:
    assert WAYS.keys() == set(get_args(State))
    for state in get_args(State):
        seen, pending = {state}, [state]
        while pending:
            fresh = WAYS[pending.pop()] - seen
            seen |= fresh
            pending += fresh
        assert seen & set(ENDED)
