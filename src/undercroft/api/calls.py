"""How an AI route answers: read, decode, send through the gateway, encode; whole or streamed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol, TypeVar

from undercroft.api.exchange import Exchange
from undercroft.errors import UndercroftError
from undercroft.gateway.call import Call, Handler
from undercroft.gateway.filters import REGION_HEADER, TAGS_HEADER, Wish, wish_of
from undercroft.llm.types import Chunk, Request
from undercroft.settings.model import Server

OFF_LOOP_BYTES = 256 * 1024
"""Larger bodies are decoded in a thread: a million keys block the loop for half a second."""

WISH_HEADERS = (TAGS_HEADER.encode(), REGION_HEADER.encode())

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
    call = Call(
        id=exchange.id,
        endpoint=codec.endpoint,
        who=exchange.caller.who,
        request=request,
        started_us=exchange.started_us,
        started=exchange.started,
        deadline=exchange.started + server.request_timeout_s,
        trace=trace_id(exchange.header(b"traceparent")),
        wish=_wish(exchange),
    )
    exchange.booked = True
    exchange.trail = call.trail

    def abandon(reason: UndercroftError) -> None:
        call.trail.abandoned = reason

    with exchange.watch(deadline=call.deadline, seconds=server.request_timeout_s, abandon=abandon):
        reply = await send(call)
        if request.stream:
            async with aclosing(reply.chunks) as chunks:
                await _stream(exchange, call, chunks, codec)
        else:
            answer = codec.whole(call, await reply.read())
            await exchange.respond(answer, headers=_headers(call))


async def _stream(exchange: Exchange, call: Call, chunks: AsyncGenerator[Chunk, None], codec: Encoder[Writer]) -> None:
    first = await anext(chunks, None)  # a failure up to here still gets a status of its own
    writer = codec.stream(call)
    exchange.error_frame = writer.error
    await exchange.start(200, [*EVENT_STREAM, *_headers(call)])
    if first is not None and (frame := writer.frame(first)):
        await exchange.write(frame)
    async for chunk in chunks:
        if frame := writer.frame(chunk):
            await exchange.write(frame)
    await exchange.finish(codec.end(call, writer))


def _headers(call: Call) -> list[tuple[bytes, bytes]]:
    trail = call.trail
    headers = []
    if trail.substituted_for:
        headers.append((b"x-undercroft-model-substituted", _shown(trail.substituted_for)))
    if trail.asked is not None:
        headers.append((b"x-undercroft-model", _shown(trail.fallback)))
    if trail.release:
        headers.append(release_header(trail.release))
    if trail.cache:
        headers.append((b"x-undercroft-cache", trail.cache.encode("ascii")))
    if trail.dropped:
        headers.append((b"x-undercroft-dropped", ", ".join(trail.dropped).encode("ascii", "backslashreplace")))
    headers += trail.own_limits or trail.limits
    return headers


def release_header(release: str) -> tuple[bytes, bytes]:
    """What made an answer, good or bad."""
    return b"x-undercroft-release", _shown(release)


def _shown(name: str) -> bytes:
    return name.encode("ascii", "backslashreplace")[:200].translate(None, b"\r\n\0")


def _wish(exchange: Exchange) -> Wish | None:
    if not exchange.has_any(WISH_HEADERS):
        return None
    tags, region = (exchange.header(name) for name in WISH_HEADERS)
    return wish_of(tags, region)


def trace_id(traceparent: str) -> str:
    """The trace id of a W3C `traceparent` header; empty when there is none or it is malformed."""
    parts = traceparent.split("-")
    if len(parts) < 4 or len(parts[1]) != 32:
        return ""
    trace = parts[1]
    return trace if all(digit in "0123456789abcdef" for digit in trace) and trace.strip("0") else ""
