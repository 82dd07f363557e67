"""Tries again what is worth trying again, within the call's time, the model's tries and the retry budget."""

import random
from typing import Final

from undercroft.clock import Clock
from undercroft.errors import NoDeployment, UpstreamError, UpstreamUnreachable
from undercroft.gateway.call import Call, Deployment, Handler, Trail
from undercroft.gateway.course import Course, course
from undercroft.gateway.policy import MAX_ATTEMPTS, WAIT_BEFORE_FALLBACK_S, Policy
from undercroft.gateway.retry_budget import RetryBudget
from undercroft.gateway.stages.route import has_other
from undercroft.llm.reply import Reply

BASE_WAIT_S: Final = 0.25
LONGEST_WAIT_S: Final = 8.0


def tries_of(policy: Policy) -> int:
    """Each fallback keeps one of the attempts a call has."""
    return max(1, min(policy.tries, MAX_ATTEMPTS - len(policy.fallbacks)))


def after_failure(
    error: UpstreamError, *, attempt: int, policy: Policy, has_others: bool, jitter: float, remaining_s: float
) -> float | None:
    """Seconds to wait before the next attempt at this model, or None: give it up.

    `attempt` counts from 1; `has_others`: another deployment, which has not failed yet in this call, can take it right
    away; `jitter` is uniform in [0, 1). Without others, the provider's Retry-After is a floor, and one that does not
    fit the call's remaining time ends it.
    """
    way = course(error)
    if way not in (Course.AGAIN, Course.ELSEWHERE) or attempt >= tries_of(policy):
        return None
    if has_others:
        return 0.0
    if way is Course.ELSEWHERE:
        return None
    told_s = error.retry_after_s or 0.0
    if policy.fallbacks and told_s > WAIT_BEFORE_FALLBACK_S:
        return None
    wait_s: float = min(LONGEST_WAIT_S, BASE_WAIT_S * 2 ** (attempt - 1)) * jitter
    if attempt == 1 and isinstance(error, UpstreamUnreachable):
        wait_s = 0.0  # a connection that broke says nothing about load, and most often the next one stands
    wait_s = max(wait_s, told_s)
    return wait_s if wait_s < remaining_s else None


class Retry:
    """Runs the inner stages again after a failure that another attempt may mend.

    Nothing of an answer has been passed on yet when a failure arrives here: a stream comes back with its first words.
    A deployment that has not failed yet in this call is asked at once; one that has, within its retry budget.
    """

    def __init__(self, *, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._budgets: dict[Deployment | None, RetryBudget] = {}

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        trail = call.trail
        if trail.given_up:
            _refuse_if_none_is_left(trail)
        attempt = 0
        failure: UpstreamError | None = None
        while True:
            attempt += 1
            try:
                reply = await proceed(call)
            except NoDeployment as error:
                if failure is None:
                    raise
                raise error from failure  # this call's own attempt was one too many
            except UpstreamError as error:
                failure = error
                wait_s = self._after(call, error, attempt)
                if wait_s is None:
                    raise
            else:
                self.answered(trail)
                return reply
            if wait_s:
                await self._clock.sleep(wait_s)

    def answered(self, trail: Trail) -> None:
        """An attempt has succeeded."""
        if not trail.failed and trail.deployment is not None:  # the plain path, in one step
            self.asked_first(trail.deployment, self._clock.monotonic())
        else:
            self._count(trail)

    def asked_first(self, deployment: Deployment, now: float) -> None:
        """A call's first attempt at a deployment, whatever became of it."""
        self.budget_of(deployment).called(now)

    def budget_of(self, deployment: Deployment) -> RetryBudget:
        """What its calls earn for retries."""
        budget = self._budgets.get(deployment)
        if budget is None:
            budget = self._budgets[deployment] = RetryBudget()
        return budget

    def _after(self, call: Call, error: UpstreamError, attempt: int) -> float | None:
        trail = call.trail
        model, deployment = trail.found, trail.deployment
        if model is None or deployment is None:
            return None
        self._count(trail)
        trail.note_failure(error)
        has_others = has_other(call)
        now = self._clock.monotonic()
        wait_s = after_failure(
            error,
            attempt=attempt,
            policy=model.policy,
            has_others=has_others,
            jitter=self._rng.random(),
            remaining_s=call.deadline - now,
        )
        if wait_s is None or trail.attempts >= MAX_ATTEMPTS or now >= call.deadline:
            return None
        if not has_others and not self._budgets[deployment].take(now):
            return None
        return wait_s

    def _count(self, trail: Trail) -> None:
        """Only a call's first attempt at a deployment is a call; further ones are retries."""
        deployment = trail.deployment
        if deployment is not None and deployment not in trail.failed:
            self.asked_first(deployment, self._clock.monotonic())


def _refuse_if_none_is_left(trail: Trail) -> None:
    model = trail.found
    if model is not None and all(each in trail.given_up for each in model.deployments):
        raise UpstreamUnreachable(f"Every deployment of '{model.name}' has been given up in this call.")
