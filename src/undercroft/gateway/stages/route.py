"""Gives the call a deployment that is likely to answer."""

from collections.abc import Mapping
from functools import partial
from math import isfinite
from typing import Final, Protocol

from undercroft.clock import Clock
from undercroft.errors import NoDeployment
from undercroft.gateway.balance import Turn
from undercroft.gateway.call import Call, Deployment, Handler, Model, kind_of
from undercroft.gateway.filters import wished
from undercroft.gateway.policy import WAIT_BEFORE_FALLBACK_S
from undercroft.gateway.routing import EVERYBODY
from undercroft.gateway.state import Ask, Nobody, NobodyWhy
from undercroft.gateway.verdict import verdict_of
from undercroft.llm.reply import Reply


class Level(Protocol):
    """How many there are right now."""

    def add(self, count: int = 1, /) -> None:
        """So many more; below zero, fewer."""
        ...


class Gauge(Protocol):
    """Counts the calls that are with a provider right now."""

    def at(self, endpoint: str, model: str, provider: str, /) -> Level:
        """Those to one endpoint, for a public model, with one provider."""
        ...


class Route:
    """Chooses one of the model's deployments for this attempt, and holds its place until the answer has ended."""

    def __init__(self, gauge: Gauge, *, clock: Clock) -> None:
        self.gauge = gauge
        self._clock = clock

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        trail = call.trail
        model = trail.found
        assert model is not None, "Find stands before Route"
        begun = trail.begun
        if begun is None:
            turn = None
            if model.routing is None and call.wish is None and not trail.failed:
                turn = model.balancer.take_at_once(streamed=call.request.stream)
            if turn is None:
                turn = await self._turn(call, model)
            started = self.begin(call, model, turn)
        else:
            turn, started = begun.turn, begun.at
        try:
            reply = await proceed(call)
        except BaseException as error:
            self._release(call, model, turn, started, error)
            raise
        self.answered(call, model, turn, started, streamed=reply.whole is None)
        return reply

    def begin(self, call: Call, model: Model, turn: Turn[Deployment]) -> float:
        """An attempt begins; when, in monotonic seconds."""
        trail, deployment = call.trail, turn.item
        trail.deployment = deployment
        trail.chosen += (turn.why,)
        trail.attempts += 1
        self.gauge.at(call.endpoint, model.name, deployment.provider).add()
        return self._clock.monotonic()

    def answered(self, call: Call, model: Model, turn: Turn[Deployment], started: float, *, streamed: bool) -> None:
        """The answer has begun, or is there when it came in one piece. The place is held until it has ended."""
        model.balancer.answered(turn, self._clock.monotonic() - started, streamed=streamed)
        call.trail.releases.append(partial(self._release, call, model, turn, started))

    def _release(
        self, call: Call, model: Model, turn: Turn[Deployment], started: float, error: BaseException | None
    ) -> None:
        """Gives the place back, with what ended the attempt too early."""
        balancer, line = model.balancer, model.line
        if error is None:
            balancer.finished(turn)
        else:
            waited_s = self._clock.monotonic() - started
            balancer.finished(turn, verdict_of(error), waited_s=waited_s, streamed=call.request.stream)
        self.gauge.at(call.endpoint, model.name, turn.item.provider).add(-1)
        if line is not None and not line.is_empty:
            line.hand_out()

    async def _turn(self, call: Call, model: Model) -> Turn[Deployment]:
        """The choice where there is more to it: filters, failures, rests, limits."""
        deadline = call.deadline
        if model.policy.fallbacks:
            deadline = min(deadline, self._clock.monotonic() + WAIT_BEFORE_FALLBACK_S)
        ask = ask_of(call, model, deadline=deadline)
        line = model.line
        found = model.balancer.take(ask) if line is None else await line.turn(ask)
        if isinstance(found, Nobody):
            raise refusal(model, found, now=self._clock.monotonic())
        return found


def has_other(call: Call) -> bool:
    """Whether another deployment than those that failed in this call could take it right away."""
    model = call.trail.found
    return model is not None and model.balancer.has_other(ask_of(call, model, deadline=call.deadline))


def ask_of(call: Call, model: Model, *, deadline: float) -> Ask:
    """What the call wants of a deployment. Raises InvalidRequest when none can do it."""
    fits, scores, by = EVERYBODY
    if model.routing is not None:
        fits, scores, by = model.routing.look(call.request, kind=kind_of(call.request), who=call.who, wish=call.wish)
    elif call.wish is not None:
        wished(model.name, (), call.wish)  # there are no tags and regions here, and it says so
    failed, given_up = call.trail.failed, call.trail.given_up
    if given_up:
        places = range(len(model.deployments)) if fits is None else fits
        fits = tuple(place for place in places if model.deployments[place] not in given_up)
    return Ask(
        fits=fits,
        scores=scores,
        scored_by=by,
        tried=tuple(place for place, each in enumerate(model.deployments) if each in failed) if failed else (),
        deadline=deadline,
        streamed=call.request.stream,
    )


_REASONS: Final[Mapping[NobodyWhy, str]] = {
    "full": "they are all busy",
    "resting": "their providers asked for a pause",
    "open": "they failed too often just now, and are left alone for a while",
}


def refusal(model: Model, nobody: Nobody, *, now: float) -> NoDeployment:
    """What the caller is told when nobody takes its call."""
    return NoDeployment(
        f"No deployment of the model '{model.name}' that could take this call takes it now: {_REASONS[nobody.why]}.",
        retry_after_s=max(1.0, nobody.again_at - now) if isfinite(nobody.again_at) else 1.0,
        hint="Try again later, or ask for another model.",
    )
