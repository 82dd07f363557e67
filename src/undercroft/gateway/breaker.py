"""When an endpoint is given up for a while, and who finds out whether it is back."""

from dataclasses import dataclass
from typing import Final, Literal

Position = Literal["closed", "open", "half_open"]

FORGET_AFTER_S = 60.0
"""Failures older than this say nothing about now."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Opens when `failures` of the last `calls` failed; with 0 it never does.

    For `rest_s` nothing goes through. Then it is half-open: one call at a time goes through as a probe, and the first
    that succeeds closes it.
    """

    failures: int = 10
    calls: int = 20
    rest_s: float = 10.0


USUAL: Final = BreakerPolicy()
NEVER: Final = BreakerPolicy(failures=0)


@dataclass(slots=True)
class Breaker:
    """What is remembered; the functions below are all that changes it."""

    history: int = 0
    """A bit for each of the last calls, the latest lowest: 1 for a failure. Calls that never were count as good."""
    failed_at: float = 0.0
    open_until: float = 0.0
    """0: closed."""
    probe: int = 0
    """The number of the probe that is under way; 0: none."""
    probes: int = 0
    """How many there have been."""


def position(breaker: Breaker, now: float) -> Position:
    """Where the breaker stands."""
    if not breaker.open_until:
        return "closed"
    return "open" if now < breaker.open_until else "half_open"


def lets_through(breaker: Breaker, now: float) -> bool:
    """Whether a call may go now."""
    return not breaker.open_until or (breaker.open_until <= now and not breaker.probe)


def enter(breaker: Breaker) -> int:
    """A call goes, which `lets_through` allowed. The number it has as a probe; 0: it is an ordinary call."""
    if not breaker.open_until:
        return 0
    breaker.probes += 1
    breaker.probe = breaker.probes
    return breaker.probe


def succeeded(breaker: Breaker, probe: int, policy: BreakerPolicy) -> None:
    """A call ended well. While the breaker is not closed only its probe counts: the others began before."""
    if not breaker.open_until:
        breaker.history = breaker.history << 1 & (1 << policy.calls) - 1
    elif probe and probe == breaker.probe:
        breaker.history, breaker.open_until, breaker.probe = 0, 0.0, 0


def failed(breaker: Breaker, probe: int, policy: BreakerPolicy, now: float) -> None:
    """A call failed by the endpoint's fault."""
    if breaker.open_until:
        if probe and probe == breaker.probe:
            breaker.open_until, breaker.probe = now + policy.rest_s, 0
        return
    if breaker.failed_at < now - FORGET_AFTER_S:
        breaker.history = 0
    breaker.failed_at = now
    breaker.history = (breaker.history << 1 | 1) & (1 << policy.calls) - 1
    if policy.failures and breaker.history.bit_count() >= policy.failures:
        breaker.open_until = now + policy.rest_s


def given_up(breaker: Breaker, probe: int) -> None:
    """A call ended that says nothing; if it was the probe, the next call is."""
    if probe and probe == breaker.probe:
        breaker.probe = 0
