"""How an AI route answers: read, decode, send through the gateway, encode; whole or streamed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple, Protocol, TypeVar

from undercroft.api.exchange import OFF_LOOP_BYTES, Exchange
from undercroft.cache.control import HEADER as CACHE_HEADER
from undercroft.cache.control import Control, control_of
from undercroft.errors import InvalidRequest, LimitReached, UndercroftError
from undercroft.gateway.call import Call, Handler, Trail
from undercroft.gateway.filters import REGION_HEADER, TAGS_HEADER, Wish, wish_of
from undercroft.gateway.stages.content import HEADER as CONTENT_HEADER
from undercroft.gateway.tagging import HEADER as USAGE_TAGS_HEADER
from undercroft.gateway.tagging import tags_of
from undercroft.llm.types import ChatRequest, Chunk, Request
from undercroft.money import format_usd
from undercroft.settings.model import Server
from undercroft.telemetry.trace_context import read
from undercroft.wire.body import too_long

CONTROL_HEADERS = tuple(
    name.encode() for name in (TAGS_HEADER, REGION_HEADER, CACHE_HEADER, USAGE_TAGS_HEADER, CONTENT_HEADER)
)

EVENT_STREAM = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


class StreamWriter(Protocol):
    """Turns an answer's chunks into a route's event stream."""

    def frame(self, chunk: Chunk, /) -> bytes:
        """The bytes of one chunk; empty when there is nothing to send."""
        ...

    def error(self, error: BaseException, /) -> bytes:
        """What tells the client that the stream broke; nothing follows it."""
        ...


Writer = TypeVar("Writer", bound=StreamWriter)


class Encoder(Protocol[Writer]):
    """How a route's answers are written."""

    endpoint: str

    def whole(self, call: Call, chunk: Chunk, /) -> bytes: ...
    def stream(self, call: Call, /) -> Writer: ...

    def end(self, call: Call, writer: Writer, /) -> bytes:
        """What closes a complete stream, once the call has been booked."""
        ...


class Codec(Encoder[Writer], Protocol[Writer]):
    """A route's wire format."""

    def decode(self, exchange: Exchange, body: bytes, /) -> Request: ...


async def serve_call(exchange: Exchange, codec: Codec[Writer], *, server: Server, send: Handler) -> None:
    """One AI call from its body to its last byte. Errors before the first byte are raised for `app` to answer."""
    body = await exchange.body(limit=server.limits.max_body_bytes, timeout_s=server.limits.body_timeout_s)
    if len(body) > OFF_LOOP_BYTES:
        request = await asyncio.to_thread(codec.decode, exchange, body)
    else:
        request = codec.decode(exchange, body)
    await answer_call(exchange, codec, request, server=server, send=send)


async def answer_call(
    exchange: Exchange, codec: Encoder[Writer], request: Request, *, server: Server, send: Handler
) -> None:
    """The same from a request that was read already."""
    if isinstance(request, ChatRequest) and len(request.messages) > server.limits.max_messages:
        raise too_long("messages", maximum=server.limits.max_messages, got=len(request.messages))
    controls = _controls(exchange)
    traceparent, trace = trace_of(exchange)
    call = Call(
        id=exchange.id,
        endpoint=codec.endpoint,
        who=exchange.caller.who,
        request=request,
        started_us=exchange.started_us,
        started=exchange.started,
        deadline=exchange.started + server.request_timeout_s,
        trace=trace,
        traceparent=traceparent,
        wish=controls.wish,
        cache=controls.cache,
        tags=controls.tags,
        content=controls.content,
    )
    await finish_call(exchange, codec, call, server=server, send=send)


async def finish_call(exchange: Exchange, codec: Encoder[Writer], call: Call, *, server: Server, send: Handler) -> None:
    """The same from a call that was made already."""
    exchange.booked = True
    exchange.trail = call.trail

    def abandon(reason: UndercroftError) -> None:
        call.trail.abandoned = reason

    with exchange.watch(deadline=call.deadline, seconds=server.request_timeout_s, abandon=abandon):
        reply = await send(call)
        if call.request.stream:
            async with aclosing(reply.chunks) as chunks:
                await _stream(exchange, call, chunks, codec)
        else:
            answer = codec.whole(call, await reply.read())
            headers = headers_of(call)
            headers.append(cost_of(call))
            await exchange.respond(answer, headers=headers)


async def _stream(exchange: Exchange, call: Call, chunks: AsyncGenerator[Chunk, None], codec: Encoder[Writer]) -> None:
    first = await anext(chunks, None)  # a failure up to here still gets a status of its own
    writer = codec.stream(call)
    exchange.error_frame = writer.error
    await exchange.start(200, [*EVENT_STREAM, *headers_of(call)])
    if first is not None and (frame := writer.frame(first)):
        await exchange.write(frame)
    async for chunk in chunks:
        if frame := writer.frame(chunk):
            await exchange.write(frame)
    await exchange.finish(codec.end(call, writer))


def headers_of(call: Call) -> list[tuple[bytes, bytes]]:
    """What an answer's headers say of its call."""
    trail = call.trail
    headers = [(b"x-undercroft-attempts", b"%d" % trail.attempts)]
    if trail.deployment is not None:
        headers.append((b"x-undercroft-deployment", trail.deployment.shown))
    if trail.held_nano:
        headers.append((b"x-undercroft-hold", format_usd(trail.held_nano).encode()))
    if trail.substituted_for:
        headers.append((b"x-undercroft-model-substituted", _shown(trail.substituted_for)))
    if trail.asked is not None:
        headers.append((b"x-undercroft-model", _shown(trail.fallback)))
    if trail.release:
        headers.append(release_header(trail.release))
    if trail.cache or trail.cache_id:
        headers.append((b"x-undercroft-cache", (trail.cache or "miss").encode("ascii")))
    if trail.cache_id:
        headers.append((b"x-undercroft-cache-id", trail.cache_id.encode("ascii")))
    if trail.keeps_content:
        headers.append((b"x-undercroft-content", b"kept"))
    if trail.guarded:
        headers.append((b"x-undercroft-guard", _shown(", ".join(trail.guarded))))
    if trail.dropped:
        headers.append((b"x-undercroft-dropped", ", ".join(trail.dropped).encode("ascii", "backslashreplace")))
    headers += trail.own_limits or trail.limits
    return headers


def cost_of(call: Call) -> tuple[bytes, bytes]:
    """What a whole answer has cost; a stream's is known only when its head is out."""
    return b"x-undercroft-cost", format_usd(call.trail.cost_nano).encode()


def headers_of_refusal(trail: Trail, error: Exception) -> list[tuple[bytes, bytes]]:
    """What the headers of an error say of its call."""
    headers = [release_header(trail.release)] if trail.release else []
    if isinstance(error, LimitReached) and not trail.attempts:
        headers += trail.own_limits
    return headers


def release_header(release: str) -> tuple[bytes, bytes]:
    """What made an answer, good or bad."""
    return b"x-undercroft-release", _shown(release)


def _shown(name: str) -> bytes:
    return name.encode("ascii", "backslashreplace")[:200].translate(None, b"\r\n\0")


class Controls(NamedTuple):
    """What the caller's headers say of one call."""

    wish: Wish | None = None
    cache: Control | None = None
    tags: dict[str, str] = {}
    content: str = ""


_NONE = Controls()


def _controls(exchange: Exchange) -> Controls:
    """One look where the headers say nothing. Raises InvalidRequest."""
    if not exchange.has_any(CONTROL_HEADERS):
        return _NONE
    tags, region, cache, usage_tags, content = (exchange.header(name) for name in CONTROL_HEADERS)
    if content not in ("", "keep", "none"):
        raise InvalidRequest(f"{CONTENT_HEADER} takes keep or none, got {content[:50]!r}.", param=CONTENT_HEADER)
    return Controls(wish_of(tags, region), control_of(cache) if cache else None, tags_of(usage_tags), content)


def trace_of(exchange: Exchange) -> tuple[str, str]:
    """The caller's `traceparent` and the trace in it; both empty where there is none, or it is malformed."""
    return trace_in(exchange.header(b"traceparent"))


def trace_in(traceparent: str) -> tuple[str, str]:
    """The same of the header's value."""
    context = read(traceparent) if traceparent else None
    return (traceparent, context.trace) if context is not None else ("", "")
