"""Ends a call whose model has a time limit of its own."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec.structs import replace

from undercroft.clock import Clock
from undercroft.errors import UpstreamTimedOut
from undercroft.gateway.call import Call, Handler
from undercroft.llm.reply import Reply
from undercroft.llm.types import Chunk


class Deadline:
    """Holds a call to its model's total time. The time that the caller takes to read does not count against a piece
    that is there, only against the next one."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        model = call.trail.found
        assert model is not None, "Find stands before Deadline"
        total_s = model.policy.total_s
        if total_s is None or call.started + total_s >= call.deadline:
            return await proceed(call)
        deadline = call.started + total_s
        reply: Reply
        try:
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                reply = await proceed(replace(call, deadline=deadline))
        except TimeoutError as error:
            raise _too_long(model.name, total_s) from error
        if reply.whole is not None:
            return reply
        chunks = self._limited(reply.chunks, deadline, model.name, total_s)
        return Reply(chunks, dropped=reply.dropped, has_begun=reply.has_begun, limits=reply.limits)

    async def _limited(
        self, chunks: AsyncGenerator[Chunk, None], deadline: float, name: str, total_s: float
    ) -> AsyncGenerator[Chunk, None]:
        async with aclosing(chunks):
            while True:
                try:
                    async with asyncio.timeout(deadline - self._clock.monotonic()):
                        chunk = await anext(chunks, None)
                except TimeoutError as error:
                    raise _too_long(name, total_s) from error
                if chunk is None:
                    return
                yield chunk


def _too_long(name: str, total_s: float) -> UpstreamTimedOut:
    return UpstreamTimedOut(
        f"The call took longer than the {total_s:g} s that '{name}' has for one.",
        code="request_timeout",
        hint="total_timeout_s of the model, or of [reliability], sets this.",
    )
