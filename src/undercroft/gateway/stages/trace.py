"""Notes what is done for a call, where tracing is on: one step for each stage and each attempt at a provider."""

from msgspec.structs import replace

from undercroft.gateway.call import Call, Handler, Stage
from undercroft.llm.reply import Reply
from undercroft.telemetry.trace_context import TraceContext, current
from undercroft.telemetry.tracing import Tracing


class Trace:
    """Outermost of all: gives the call its trace. Its end is the record's."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        course = self._tracing.begin(call.id, traceparent=call.traceparent, began=call.started)
        return await proceed(replace(call, trace=course.trace))


class Noted:
    """A stage, with a step for it. It is over when the answer has begun: what follows belongs to the attempt."""

    def __init__(self, stage: Stage, name: str, tracing: Tracing) -> None:
        self._stage = stage
        self._name = f"stage {name}"
        self._tracing = tracing

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        course = self._tracing.course(call.id)
        if course is None or not course.is_sampled:
            return await self._stage(call, proceed)
        outer = course.innermost
        step = self._tracing.step(course, self._name)
        course.innermost = step.id
        try:
            reply = await self._stage(call, proceed)
        except BaseException as error:
            self._tracing.end(step, error)
            raise
        finally:
            course.innermost = outer
        self._tracing.end(step)
        return reply


class TraceAttempt:
    """Innermost: an attempt, which lasts until it has failed or the answer has ended, and what the provider is told."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        course, deployment = self._tracing.course(call.id), call.trail.deployment
        if course is None or deployment is None:
            return await proceed(call)
        step = self._tracing.step(course, f"attempt {deployment.upstream_model}")
        step.provider, step.model, step.deployment = deployment.provider, deployment.upstream_model, deployment.id
        token = current.set(TraceContext(course.trace, step.id, course.is_sampled, call.id))
        try:
            return await proceed(call)
        except BaseException as error:
            self._tracing.end(step, error)
            raise
        finally:
            current.reset(token)
