"""When a job that failed is run again: plain functions of what happened and a random number."""

from typing import Final

from undercroft.errors import NoDeployment, RateLimited, Unavailable, UndercroftError, UpstreamError, UpstreamOverloaded
from undercroft.errors import UpstreamUnreachable as Unreachable
from undercroft.jobs.types import Blame, Failure

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
JITTER: Final = 0.25
"""Of a wait after the job's own failure, added to it: 1, 2, 4 s and up to a quarter more."""
OUTAGES: Final = (UpstreamOverloaded, Unreachable, RateLimited, Unavailable)
"""Somebody else was away or busy; a silent provider (a time-out) is not among them: the job may be why."""


def failure_of(error: BaseException) -> Failure:
    """What an exception of a handler's means. Those that are not ours may pass with another try.

    A call whose own failure was the last that its deployment was allowed finds none left to ask: that failure counts,
    or a job that no deployment survives would be tried for as long as it may take.
    """
    if not isinstance(error, UndercroftError):
        return Failure(code="handler_failed", message=f"{type(error).__name__}: {error}"[:2000])
    why = error.__cause__ if isinstance(error, NoDeployment) and isinstance(error.__cause__, UpstreamError) else error
    blame: Blame = "outage" if isinstance(why, OUTAGES) else "job" if why.retryable else "final"
    return Failure(
        code=why.code,
        message=str(why)[:2000],
        blame=blame,
        retry_after_s=error.retry_after_s or 0.0,
        parks=isinstance(error, NoDeployment),
    )


def wait_s(failure: Failure, *, nth: int, jitter: float) -> float:
    """Seconds until the next run after the `nth` failure in a row, from 1; `jitter` is uniform in [0, 1).

    Own failures: 1, 2, 4 … s and some jitter. Outages: anywhere up to that ("full jitter", as AWS's architecture blog
    has it), since everybody fails at the same moment. What the refuser asked for is a floor.
    """
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(nth - 1, 10))
    wait = longest * jitter if failure.blame == "outage" else longest * (1 + JITTER * jitter)
    return max(wait, failure.retry_after_s)
