"""Notes what is done for a call, where tracing is on: when it comes to each stage, and each attempt at a provider."""

from collections.abc import Awaitable

from msgspec.structs import replace

from undercroft.gateway.call import Call, Handler, Stage
from undercroft.llm.reply import Reply
from undercroft.telemetry.spans import Attempt
from undercroft.telemetry.trace_context import current
from undercroft.telemetry.tracing import Tracing


class Trace:
    """Outermost of all: gives the call its trace. Its end is the record's."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def __call__(self, call: Call, proceed: Handler, /) -> Awaitable[Reply]:
        if call.trail.begun is not None:  # on the fast path
            return proceed(call)
        course = self._tracing.begin(call.id, traceparent=call.traceparent, began=call.started)
        return proceed(replace(call, trace=course.trace, traceparent=course.header()))  # a copy of it is below it, too


class Noted:
    """A stage, and a note of when a call comes to it. No coroutine of its own: there is one per stage already."""

    def __init__(self, stage: Stage, name: str, tracing: Tracing) -> None:
        self._stage = stage
        self._name = name
        self._tracing = tracing

    def __call__(self, call: Call, proceed: Handler, /) -> Awaitable[Reply]:
        if call.trail.begun is None:
            self._tracing.came_to(call.id, self._name)
        return self._stage(call, proceed)


class TraceAttempt:
    """Innermost: an attempt, which lasts until it has failed or the answer has ended, and what the provider is told."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        deployment = call.trail.deployment
        assert deployment is not None, "Route stands before it"
        begun = call.trail.begun
        if begun is not None:
            return await self._gone_on(begun.noted, call, proceed)
        noted = self._tracing.attempt(
            call.id, provider=deployment.provider, model=deployment.upstream_model, deployment=deployment.id
        )
        if noted is None:
            return await proceed(call)
        attempt, context = noted
        token = current.set(context)
        try:
            return await proceed(call)
        except BaseException as error:
            self._tracing.failed(attempt, error)
            raise
        finally:
            current.reset(token)

    async def _gone_on(self, noted: Attempt | None, call: Call, proceed: Handler) -> Reply:
        """The attempt was noted, and its provider told, when the fast path made it."""
        try:
            return await proceed(call)
        except BaseException as error:
            if noted is not None:
                self._tracing.failed(noted, error)
            raise
