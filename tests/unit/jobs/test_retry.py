"""How long a failed job waits, and what a failure means."""

import pytest

from undercroft.errors import (
    InvalidRequest,
    NoDeployment,
    RateLimited,
    Unavailable,
    UpstreamGarbled,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from undercroft.jobs.retry import LONGEST_WAIT_S, failure_of, wait_s
from undercroft.jobs.types import Failure

OWN = Failure(code="odd", message="odd")
AWAY = Failure(code="away", message="away", blame="outage")


@pytest.mark.parametrize(
    ("error", "blame"),
    [
        (InvalidRequest("no"), "final"),
        (UpstreamRefused("no", upstream_status=400), "final"),
        (UpstreamGarbled("?"), "job"),
        (UpstreamTimedOut("late"), "job"),
        (ValueError("bug"), "job"),
        (UpstreamOverloaded("429"), "outage"),
        (UpstreamUnreachable("gone"), "outage"),
        (RateLimited("slow"), "outage"),
        (Unavailable("database"), "outage"),
        (NoDeployment("open"), "outage"),
    ],
)
def test_only_what_another_try_may_mend_is_tried_again(error: Exception, blame: str) -> None:
    assert failure_of(error).blame == blame


def test_an_open_breaker_parks_and_nothing_else_does() -> None:
    assert failure_of(NoDeployment("open")).parks
    assert not failure_of(UpstreamOverloaded("429")).parks


def test_a_call_that_left_itself_no_deployment_has_failed_of_itself_and_parks() -> None:
    error = NoDeployment("open", retry_after_s=10)
    error.__cause__ = UpstreamGarbled("?")
    failure = failure_of(error)
    assert (failure.code, failure.blame, failure.parks, failure.retry_after_s) == ("upstream_invalid", "job", True, 10)
    error.__cause__ = UpstreamUnreachable("gone")
    assert failure_of(error).blame == "outage"


def test_own_failures_wait_one_two_four_seconds_and_some_jitter() -> None:
    assert [wait_s(OWN, nth=nth, jitter=0) for nth in (1, 2, 3)] == [1, 2, 4]
    assert [wait_s(OWN, nth=nth, jitter=1) for nth in (1, 2, 3)] == [1.25, 2.5, 5]


def test_after_an_outage_nobody_waits_for_the_same_time() -> None:
    assert wait_s(AWAY, nth=3, jitter=0.25) == 1
    assert wait_s(AWAY, nth=3, jitter=0.75) == 3


def test_waits_do_not_grow_for_ever() -> None:
    assert wait_s(AWAY, nth=10_000, jitter=1) == LONGEST_WAIT_S


def test_retry_after_is_a_floor() -> None:
    error = UpstreamOverloaded("429", retry_after_s=90)
    assert wait_s(failure_of(error), nth=1, jitter=0) == 90
