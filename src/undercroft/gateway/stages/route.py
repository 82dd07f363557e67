"""Gives the call a deployment that is likely to answer."""

from typing import Protocol

from undercroft.clock import Clock
from undercroft.errors import UpstreamError
from undercroft.gateway.call import Call, Handler
from undercroft.llm.reply import Reply


class Gauge(Protocol):
    """Counts the calls that are with a provider right now."""

    def begin(self, endpoint: str, model: str, provider: str, /) -> None: ...
    def end(self, endpoint: str, model: str, provider: str, /) -> None: ...


class Route:
    """Chooses one of the model's deployments for this attempt, and holds its place until the answer has ended."""

    def __init__(self, gauge: Gauge, *, clock: Clock) -> None:
        self._gauge = gauge
        self._clock = clock

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        gauge, trail = self._gauge, call.trail
        model = trail.found
        assert model is not None, "Find stands before Route"
        balancer = model.balancer
        deployment = balancer.choose()
        trail.deployment = deployment
        trail.attempts += 1
        balancer.started(deployment)
        gauge.begin(call.endpoint, model.name, deployment.provider)
        started = self._clock.monotonic()

        def release(error: BaseException | None) -> None:
            seconds = self._clock.monotonic() - started
            balancer.finished(deployment, ok=not is_its_fault(error), seconds=seconds)
            gauge.end(call.endpoint, model.name, deployment.provider)

        try:
            reply = await proceed(call)
        except BaseException as error:
            release(error)
            raise
        trail.releases.append(release)
        return reply


def is_its_fault(error: BaseException | None) -> bool:
    """Whether a failure speaks against the deployment: not when the caller's own request was refused, or it left."""
    return isinstance(error, UpstreamError) and error.status >= 500


async def provide(call: Call) -> Reply:
    """The innermost step: asks the chosen deployment's provider."""
    deployment = call.trail.deployment
    assert deployment is not None, "Route stands before provide"
    reply = await deployment.ask(call.request)
    call.trail.dropped, call.trail.limits = reply.dropped, reply.limits
    return reply
