"""Tries again what is worth trying again, within the call's time and the retry budget."""

import random
from collections import deque
from dataclasses import dataclass

from undercroft.clock import Clock
from undercroft.errors import UpstreamError
from undercroft.gateway.call import Call, Handler
from undercroft.gateway.stages.route import has_other
from undercroft.llm.reply import Reply

WINDOW_S = 10.0
FREE_RETRIES = 10
"""Retries in one window that the budget never forbids, so that a quiet server still retries."""
BUDGET_SHARE = 0.1
"""Beyond those, retries may be this share of the window's calls: an outage is not answered with a storm."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `tries` attempts; waits grow from `base_s` by doubling up to `cap_s`, with full jitter."""

    tries: int = 3
    base_s: float = 0.25
    cap_s: float = 8.0


def after_failure(
    error: UpstreamError,
    *,
    attempt: int,
    policy: RetryPolicy,
    jitter: float,
    remaining_s: float,
    has_other: bool = False,
) -> float | None:
    """Seconds to wait before the next attempt, or None: give up.

    `attempt` counts from 1; `jitter` is uniform in [0, 1). The provider's Retry-After is a floor; one that does not
    fit the call's remaining time ends it. With `has_other` another deployment can take the call right away.
    """
    if not error.retryable or attempt >= policy.tries:
        return None
    if has_other:
        return 0.0
    wait_s: float = min(policy.cap_s, policy.base_s * 2 ** (attempt - 1)) * jitter
    wait_s = max(wait_s, error.retry_after_s or 0.0)
    return wait_s if wait_s < remaining_s else None


class RetryBudget:
    """How many retries the last ten seconds allow (monotonic seconds come in)."""

    def __init__(self) -> None:
        self._calls: deque[float] = deque()
        self._retries: deque[float] = deque()

    def called(self, now: float) -> None:
        self._calls.append(now)
        _forget(self._calls, now)

    def take(self, now: float) -> bool:
        """Books one retry if there is room for it."""
        _forget(self._calls, now)
        _forget(self._retries, now)
        if len(self._retries) >= max(FREE_RETRIES, BUDGET_SHARE * len(self._calls)):
            return False
        self._retries.append(now)
        return True


def _forget(moments: deque[float], now: float) -> None:
    while moments and moments[0] <= now - WINDOW_S:
        moments.popleft()


class Retry:
    """Runs the inner stages again after a failure that another attempt may mend.

    Nothing of an answer has been passed on yet when a failure arrives here: providers return with the first piece.
    """

    def __init__(self, *, clock: Clock, rng: random.Random, policy: RetryPolicy | None = None) -> None:
        self._clock = clock
        self._rng = rng
        self._policy = policy or RetryPolicy()
        self._budget = RetryBudget()

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        self._budget.called(self._clock.monotonic())
        attempt = 0
        while True:
            attempt += 1
            try:
                return await proceed(call)
            except UpstreamError as error:
                if call.trail.deployment is not None:
                    call.trail.failed += (call.trail.deployment,)
                now = self._clock.monotonic()
                wait_s = after_failure(
                    error,
                    attempt=attempt,
                    policy=self._policy,
                    jitter=self._rng.random(),
                    remaining_s=call.deadline - now,
                    has_other=has_other(call),
                )
                if wait_s is None or not self._budget.take(now):
                    raise
            if wait_s:
                await self._clock.sleep(wait_s)
