"""`POST /v1/responses`: whole, streamed, or in the background. What is kept of them: `kept_responses.py`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from undercroft.api.calls import answer_call, trace_of
from undercroft.api.exchange import OFF_LOOP_BYTES, Exchange
from undercroft.api.following import follow
from undercroft.api.openai import kept_responses
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.assembly.knowledge import Caller
from undercroft.assembly.responses import ENDPOINT, Responses
from undercroft.clock import Clock
from undercroft.errors import Unavailable, UndercroftError
from undercroft.gateway.call import Call, Handler
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, Chunk
from undercroft.responses.types import Kept, Order
from undercroft.settings.model import Server
from undercroft.telemetry.logs import get_logger
from undercroft.wire.openai import responses as wire

_encode = msgspec.json.Encoder().encode


class ResponsesCodec:
    """Writes one response and keeps it, before its caller has read the last of it."""

    endpoint = ENDPOINT

    def __init__(
        self,
        asked: wire.Asked,
        *,
        is_kept: bool,
        is_continued: bool,
        retrieved: wire.Retrieved | None,
        responses: Responses,
        clock: Clock,
    ) -> None:
        self._asked = asked
        self._retrieved = retrieved
        self._is_kept = is_kept
        self._responses = responses
        self._clock = clock
        # What a provider cannot say of a conversation that we have put together for it.
        previous = asked.body.previous_response_id
        self._changes: dict[str, object] = {"previous_response_id": previous} if is_continued else {}
        self._writer: wire.ResponseStream | None = None
        self._ended: wire.Ended | None = None

    def sending(self, send: Handler, dropped: tuple[str, ...]) -> Handler:
        """Sends a call, and keeps its answer when it is there."""

        async def run(call: Call) -> Reply:
            reply = await send(call)
            call.trail.dropped += dropped
            if call.request.stream:
                return Reply(self._keeping(call, reply.chunks))
            chunk = await reply.read()
            ended = wire.whole(
                chunk,
                self._begun(call),
                suffix=_suffix(call),
                completed=self._now(),
                changes=self._changes,
                retrieved=self._retrieved,
            )
            is_relayed = chunk.dialect == "openai.responses"
            self._ended = await self._keep(call, ended, is_relayed=is_relayed)
            return Reply(whole=chunk)

        return run

    async def _keeping(self, call: Call, chunks: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
        except UndercroftError as error:
            if self._writer is not None:  # otherwise its caller gets an error, and no response
                await self._keep(call, self._writer.failed(error), is_relayed=self._writer.is_relayed)
            raise
        writer = self.stream(call)
        ended = writer.finish(call.trail.usage, completed=self._now())
        self._ended = await self._keep(call, ended, is_relayed=writer.is_relayed)

    def whole(self, _: Call, __: Chunk, /) -> bytes:
        assert self._ended is not None, "sending has read the answer"
        return self._ended.body

    def stream(self, call: Call, /) -> wire.ResponseStream:
        if self._writer is None:
            self._writer = wire.ResponseStream(
                self._begun(call), suffix=_suffix(call), changes=self._changes, retrieved=self._retrieved
            )
        return self._writer

    def end(self, _: Call, writer: wire.ResponseStream, /) -> bytes:
        assert self._ended is not None, "the stream has been read to its end"
        return writer.end(self._ended)

    def _begun(self, call: Call) -> wire.Response:
        begun = wire.begun(
            self._asked.body,
            id="resp_" + _suffix(call),
            created=call.started_us // 1_000_000,
            model=call.answered_by,
        )
        return msgspec.structs.replace(begun, store=self._is_kept)

    def _now(self) -> int:
        return self._clock.now_us() // 1_000_000

    async def _keep(self, call: Call, ended: wire.Ended, *, is_relayed: bool) -> wire.Ended:
        """The response as its caller is told of it: not stored, if the database went away meanwhile and the caller had
        not insisted."""
        if not self._is_kept:
            return ended
        body = self._asked.body
        kept = Kept(
            who=call.who,
            ended=ended,
            input=_encode(body.items),
            previous=body.previous_response_id,
            is_background=False,
            is_relayed=is_relayed,
            created_us=call.started_us,
            expires_us=self._responses.expires_us(call.started_us),
            call=call.id,
        )
        try:
            shelf = await self._responses.desk.shelf()
            await shelf.keep(kept)
        except Unavailable as error:
            if body.store:
                raise
            get_logger("undercroft.responses").warning("response_not_kept", response=ended.id, reason=str(error))
            return wire.read_ended(wire.changed(ended.body, store=False))
        return ended


def routes(undercroft: Undercroft) -> list[Route]:
    responses, server, clock = undercroft.responses, undercroft.settings.server, undercroft.clock
    limits = server.limits

    async def create_response(exchange: Exchange) -> None:
        """Answers, whole or streamed, and keeps the answer; or accepts to answer in the background."""
        body = await exchange.body(limit=limits.max_body_bytes, timeout_s=limits.body_timeout_s)
        is_large = len(body) > OFF_LOOP_BYTES
        asked = await asyncio.to_thread(wire.decode, body) if is_large else wire.decode(body)
        is_kept = await _is_kept(asked, responses)
        turns = None
        if asked.body.previous_response_id is not None:
            shelf = await responses.desk.shelf()
            turns = await shelf.turns(exchange.caller.who.organisation, asked.body.previous_response_id)
        if is_large or turns:
            request = await asyncio.to_thread(wire.request_of, asked, turns)
        else:
            request = wire.request_of(asked, turns)
        caller = Caller(
            exchange.caller.who,
            endpoint=ENDPOINT,
            traceparent=trace_of(exchange)[0],
            seconds=server.request_timeout_s,
        )
        searches = await responses.searches(asked, request, caller)
        fitting, dropped = responses.fit(wire.without_search(request) if searches else request, exchange.caller.who)
        if asked.body.background:
            await _accept(exchange, asked, request, responses=responses, server=server)
            return
        retrieved = None
        if searches:
            fitting, dropped, retrieved = await responses.lead(asked, request, caller)
        codec = ResponsesCodec(
            asked,
            is_kept=is_kept,
            is_continued=turns is not None,
            retrieved=retrieved,
            responses=responses,
            clock=clock,
        )
        send = codec.sending(undercroft.gateway.send, dropped)
        await answer_call(exchange, codec, fitting, server=server, send=send)

    return [
        Route("POST", ENDPOINT, "ai", create_response, metered=True),
        *kept_responses.routes(undercroft),
    ]


async def _is_kept(asked: wire.Asked, responses: Responses) -> bool:
    """Raises Unavailable, before anything is spent, where a caller insists and the database is away."""
    if asked.body.store or asked.body.background:
        await responses.desk.shelf()
        return True
    return asked.body.store is None and responses.settings.store_by_default and await responses.desk.can_keep()


async def _accept(
    exchange: Exchange, asked: wire.Asked, request: ChatRequest, *, responses: Responses, server: Server
) -> None:
    body, suffix = asked.body, exchange.id.removeprefix("req_")
    queued = wire.begun(
        body,
        id=f"resp_{suffix}",
        created=exchange.started_us // 1_000_000,
        model=responses.model_name(request, exchange.caller.who),
        status="queued",
    )
    assert request.source is not None
    order = Order(
        id=queued.id,
        call_id=exchange.id,
        who=exchange.caller.who,
        trace=trace_of(exchange)[0],
        source=request.source.body,
        queued=_encode(queued),
        created_us=exchange.started_us,
    )
    kept = Kept(
        who=order.who,
        ended=wire.ended(queued),
        input=_encode(body.items),
        previous=body.previous_response_id,
        is_background=True,
        is_relayed=False,
        created_us=exchange.started_us,
        expires_us=responses.expires_us(exchange.started_us),
        call=exchange.id,
    )
    background = await responses.desk.background()
    await background.accept(order, kept)
    exchange.booked = True  # by the call that is made for it, once it has ended
    if body.stream:
        await follow(exchange, background.follow(kept, after=-1), server=server)
    else:
        await exchange.respond(order.queued)


def _suffix(call: Call) -> str:
    """The request's id, in the ids of the response and of its items."""
    return call.id.removeprefix("req_")
