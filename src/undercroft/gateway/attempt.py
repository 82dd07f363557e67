"""The innermost step: asks the chosen deployment, and counts the attempt as begun only when something was said."""

from asyncio import CancelledError
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from undercroft.errors import UpstreamTimedOut
from undercroft.gateway.call import Call, Deployment
from undercroft.gateway.patience import Patience
from undercroft.llm.reply import MOST_HELD, ChunkStream, Reply
from undercroft.llm.types import ChatRequest, Chunk, CompletionRequest, Request
from undercroft.wire.longest import at_longest


class Attempt:
    """Asks the provider within the model's time limits.

    A stream comes back with its first words: a provider that sends a role and then breaks off has answered nothing,
    and another can still be asked.
    """

    def __init__(self) -> None:
        self._patience = Patience()

    async def ask(self, call: Call) -> Reply:
        trail = call.trail
        request = _ended(call.request, trail.most_output)
        deployment, model = trail.deployment, trail.found
        assert deployment is not None and model is not None, "Route stands before Attempt"  # noqa: PT018 - one fact
        limit_s = model.policy.first_token_s if request.stream else model.policy.whole_s
        begun, trail.begun = trail.begun, None
        if begun is not None and begun.response is not None:  # on the fast path, which has none of these limits
            reply = await deployment.go_on(request, begun.response)
        elif limit_s is not None:
            reply = await self._in_time(deployment, request, limit_s)
        else:
            reply = await deployment.ask(request)
            if reply.whole is None and not reply.has_begun:
                reply = await _begun(reply)
        trail.dropped, trail.limits = reply.dropped, reply.limits
        return reply

    async def _in_time(self, deployment: Deployment, request: Request, limit_s: float) -> Reply:
        wait = self._patience.begin(limit_s)
        try:
            reply = await deployment.ask(request)
            return reply if reply.whole is not None or reply.has_begun else await _begun(reply)
        except CancelledError:
            if not wait.was_the_reason():
                raise
            wanted = "say a word" if request.stream else "answer"
            raise UpstreamTimedOut(f"The deployment '{deployment.id}' did not {wanted} within {limit_s:g} s.") from None
        finally:
            self._patience.end(wait)


def _ended(request: Request, most_output: int | None) -> Request:
    """With the end that a budget sets to its answer, unless it has one: the caller's, or that of the rest of an answer
    that was cut."""
    if most_output is None or not isinstance(request, ChatRequest | CompletionRequest):
        return request
    return request if request.sampling.max_tokens is not None else at_longest(request, most_output)


async def _begun(reply: Reply) -> Reply:
    return Reply(await begun(reply.chunks), dropped=reply.dropped, has_begun=True, limits=reply.limits)


async def begun(chunks: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
    """The same stream, once its first piece that says something is there."""
    held: list[Chunk] = []
    try:
        async for chunk in chunks:
            held.append(chunk)
            if chunk.says_something() or len(held) >= MOST_HELD:
                break
    except BaseException:
        await chunks.aclose()
        raise
    return Held(held, chunks)


class Held(ChunkStream):
    """Pieces that were kept back, and the rest as it comes."""

    __slots__ = ("_held", "_rest")

    def __init__(self, held: list[Chunk], rest: AsyncGenerator[Chunk, None]) -> None:
        held.reverse()
        self._held = held
        self._rest = rest

    def __anext__(self) -> Coroutine[Any, Any, Chunk]:  # the rest's own, where nothing is held any more
        return self._next_held() if self._held else self._rest.__anext__()

    async def _next_held(self) -> Chunk:
        return self._held.pop()

    async def aclose(self) -> None:
        self._held.clear()
        await self._rest.aclose()
