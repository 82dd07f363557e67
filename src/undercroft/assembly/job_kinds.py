"""The kinds of job that come with undercroft: calls of the AI routes, with the same bodies and answers."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from undercroft.assembly.reloads import UnderWay
from undercroft.clock import Clock
from undercroft.gateway.call import Call, Kind
from undercroft.gateway.gateway import Gateway
from undercroft.ids import Ids
from undercroft.jobs.handlers import Handler, JobContext
from undercroft.jobs.types import Job, Limits
from undercroft.llm.reply import Reply, joined
from undercroft.llm.types import ChatRequest, Chunk, EmbeddingsRequest, Usage
from undercroft.telemetry.trace_context import trace_in
from undercroft.wire import generate

ENDPOINT: Final = "/api/v1/jobs"
R = TypeVar("R", bound=ChatRequest | EmbeddingsRequest)


class GatewayInForce(Protocol):
    """The gateway of the configuration that is in force when a job runs."""

    def gateway(self) -> Gateway: ...

    def begin(self) -> UnderWay:
        """A call is under way, until it is ended there: a configuration that follows waits for it."""
        ...


class CallHandler(Generic[R]):
    """Sends a call through the gateway: booked, retried and limited like one that came over HTTP."""

    def __init__(
        self,
        kind: str,
        *,
        asks: Kind,
        decode: Callable[[bytes], R],
        encode: Callable[[Call, R, Chunk], bytes],
        limits: Limits,
        in_force: GatewayInForce,
        ids: Ids,
        clock: Clock,
    ) -> None:
        self.kind = kind
        self.limits = limits
        self._asks = asks
        self._decode = decode
        self._encode = encode
        self._in_force = in_force
        self._ids = ids
        self._clock = clock

    def check(self, input: bytes, /) -> str:
        """The lane is the model: when none of its deployments takes calls, its jobs wait together."""
        request = self._decode(input)
        return f"model:{self._in_force.gateway().lane(request)}"

    async def run(self, job: Job, context: JobContext, /) -> bytes:
        request = self._decode(job.input.encode())
        started = self._clock.monotonic()
        call = Call(
            id=self._ids.new("req_"),
            endpoint=ENDPOINT,
            who=job.who,
            request=request,
            started_us=self._clock.now_us(),
            started=started,
            deadline=started + job.timeout_us / 1_000_000,
            trace=trace_in(job.trace),
            traceparent=job.trace,
        )
        under_way = self._in_force.begin()
        try:
            reply = await self._in_force.gateway().send(call)
            answer = await (_told(reply, context) if request.stream else reply.read())
            return self._encode(call, request, answer)
        finally:
            under_way.end()


async def _told(reply: Reply, context: JobContext) -> Chunk:
    """The whole answer, of which each piece is told to those who follow the job."""

    async def told() -> AsyncGenerator[Chunk, None]:
        async with aclosing(reply.chunks) as chunks:
            async for chunk in chunks:
                if text := chunk.text():
                    context.output({"text": text})
                # Without the provider's own bytes: one event of a stream is not an answer.
                yield chunk if chunk.whole else msgspec.structs.replace(chunk, source=None)

    return await joined(told())


def _generated(call: Call, _: ChatRequest, answer: Chunk) -> bytes:
    usage = call.trail.usage or Usage()
    return generate.whole(answer, model=call.answered_by, usage=usage, cost_nano=call.trail.cost_nano)


# Other formats are imported with the first job that has them: no start needs one.


def _chat(body: bytes) -> ChatRequest:
    from undercroft.wire.openai import chat

    return chat.decode(body)


def _chatted(call: Call, request: ChatRequest, answer: Chunk) -> bytes:
    from undercroft.wire.openai import chat

    return chat.whole(
        answer,
        id="chatcmpl-" + call.id.removeprefix("req_"),
        created=call.started_us // 1_000_000,
        model=call.answered_by,
        legacy_functions=request.legacy_functions,
    )


def _embeddings(body: bytes) -> EmbeddingsRequest:
    from undercroft.wire.openai import embeddings

    return embeddings.decode(body)


def _embedded(call: Call, request: EmbeddingsRequest, answer: Chunk) -> bytes:
    from undercroft.wire.openai import embeddings

    return embeddings.whole(answer, model=call.answered_by, base64=request.base64)


def built_in(*, limits: Limits, in_force: GatewayInForce, ids: Ids, clock: Clock) -> list[Handler]:
    """`generate`, `chat` and `embeddings`."""
    return [
        CallHandler(
            "generate",
            asks="chat",
            decode=partial(generate.decode, b""),
            encode=_generated,
            limits=limits,
            in_force=in_force,
            ids=ids,
            clock=clock,
        ),
        CallHandler(
            "chat",
            asks="chat",
            decode=_chat,
            encode=_chatted,
            limits=limits,
            in_force=in_force,
            ids=ids,
            clock=clock,
        ),
        CallHandler(
            "embeddings",
            asks="embeddings",
            decode=_embeddings,
            encode=_embedded,
            limits=limits,
            in_force=in_force,
            ids=ids,
            clock=clock,
        ),
    ]
