"""`store: true`, and what its callers do with the completions that were kept: list, show, label, delete."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.assembly.database import DatabaseLink
from undercroft.clock import Clock
from undercroft.errors import NotFound
from undercroft.gateway.call import Call, Handler
from undercroft.llm.reply import Reply, joined
from undercroft.llm.types import ChatRequest, Chunk
from undercroft.wire.openai import chat
from undercroft.wire.openai.chat import stored

if TYPE_CHECKING:
    from undercroft.chats.repository import KeptChat

PATH: Final = "/v1/chat/completions"
ONE: Final = f"{PATH}/{{completion_id}}"
KEPT_FOR_US: Final = 30 * 24 * 3600 * 1_000_000
"""As long as OpenAI keeps them."""


class Keeping:
    """Sends calls on, and keeps the answers of those who ask for it.

    A promise to keep that cannot be held is an error: before the provider is asked, if the database is away by then.
    """

    def __init__(self, send: Handler, *, link: DatabaseLink, clock: Clock) -> None:
        self._send = send
        self._link = link
        self._clock = clock

    def send(self, call: Call) -> Awaitable[Reply]:
        assert isinstance(call.request, ChatRequest)
        return self._keep(call, call.request) if call.request.store else self._send(call)

    async def _keep(self, call: Call, request: ChatRequest) -> Reply:
        self._link.database()
        reply = await self._send(call)
        if request.stream:
            return Reply(self._kept_at_the_end(call, request, reply.chunks))
        answer = await reply.read()
        await self._write(call, request, answer)
        return Reply(whole=answer)

    async def _kept_at_the_end(
        self, call: Call, request: ChatRequest, chunks: AsyncGenerator[Chunk, None]
    ) -> AsyncGenerator[Chunk, None]:
        seen: list[Chunk] = []
        async with aclosing(chunks):
            async for chunk in chunks:
                seen.append(chunk)
                yield chunk
        await self._write(call, request, await joined(_each(seen)), first=seen[0] if seen else None)

    async def _write(self, call: Call, request: ChatRequest, answer: Chunk, *, first: Chunk | None = None) -> None:
        from undercroft.chats.repository import KeptChat, keep

        assert request.source is not None, "an API call has the bytes it came in"
        told = stored.Identity()
        if first is not None and first.source is not None and first.dialect is None:
            told = stored.identity(first.source)
        body = chat.whole(
            answer,
            id=told.id or chat_id(call),
            created=int(told.created or call.started_us // 1_000_000),
            model=told.model or call.answered_by,
            legacy_functions=request.legacy_functions,
        )
        known = stored.identity(body)
        kept = KeptChat(
            id=known.id or chat_id(call),
            model=known.model or call.answered_by,
            metadata=request.metadata or {},
            messages=stored.messages_of(request.source.body),
            answer=body,
            created_us=call.started_us,
            expires_us=call.started_us + KEPT_FOR_US,
            call=call.id,
        )
        organisation, now_us = call.who.organisation, self._clock.now_us()
        await self._link.write(lambda connection: keep(connection, kept, organisation=organisation, now_us=now_us))


async def _each(chunks: list[Chunk]) -> AsyncGenerator[Chunk, None]:
    for chunk in chunks:
        yield chunk


def chat_id(call: Call) -> str:
    """The request's id in the form OpenAI's answers have."""
    return "chatcmpl-" + call.id.removeprefix("req_")


class StoredChats:
    """The handlers, one a route."""

    def __init__(self, undercroft: Undercroft) -> None:
        self._link = undercroft.link
        self._clock = undercroft.clock
        self._limits = undercroft.settings.server.limits

    async def list_them(self, exchange: Exchange) -> None:
        """Kept chat completions, oldest first."""
        from undercroft.chats.repository import listed

        page, labels = stored.decode_page(exchange.query)
        after = None if page.after is None else await self._found(exchange, page.after)
        if page.after is not None and after is None:
            raise stored.unknown_cursor(page.after)
        organisation, now_us = exchange.caller.who.organisation, self._clock.now_us()
        found = await self._link.read(
            lambda connection: listed(
                connection,
                organisation=organisation,
                now_us=now_us,
                limit=page.limit + 1,
                order=page.order,
                after=after,
                model=page.model,
                metadata=labels,
            )
        )
        shown = [(kept.id, stored.one(kept.answer, kept.metadata)) for kept in found[: page.limit]]
        await exchange.respond(stored.many(shown, has_more=len(found) > page.limit))

    async def show(self, exchange: Exchange) -> None:
        """A kept chat completion."""
        kept = await self._demanded(exchange)
        await exchange.respond(stored.one(kept.answer, kept.metadata))

    async def list_messages(self, exchange: Exchange) -> None:
        """The messages that a kept chat completion continued."""
        page, _ = stored.decode_page(exchange.query)
        kept = await self._demanded(exchange)
        await exchange.respond(stored.messages(kept.id, kept.messages, page))

    async def update(self, exchange: Exchange) -> None:
        """Gives a kept chat completion other metadata."""
        from undercroft.chats.repository import relabel

        limits = self._limits
        body = await exchange.body(limit=limits.max_body_bytes, timeout_s=limits.body_timeout_s)
        metadata = stored.decode_update(body)
        kept = await self._demanded(exchange)
        organisation, now_us = exchange.caller.who.organisation, self._clock.now_us()
        is_there = await self._link.write(
            lambda connection: relabel(connection, kept.id, metadata, organisation=organisation, now_us=now_us)
        )
        if not is_there:
            raise _unknown(kept.id)
        await exchange.respond(stored.one(kept.answer, metadata))

    async def delete(self, exchange: Exchange) -> None:
        """Deletes a kept chat completion."""
        from undercroft.chats.repository import remove

        wanted, organisation, now_us = _id(exchange), exchange.caller.who.organisation, self._clock.now_us()
        was_there = await self._link.write(
            lambda connection: remove(connection, wanted, organisation=organisation, now_us=now_us)
        )
        if not was_there:
            raise _unknown(wanted)
        await exchange.respond(stored.deleted(wanted))

    async def _demanded(self, exchange: Exchange) -> "KeptChat":
        kept = await self._found(exchange, _id(exchange))
        if kept is None:
            raise _unknown(_id(exchange))
        return kept

    async def _found(self, exchange: Exchange, id: str) -> "KeptChat | None":
        from undercroft.chats.repository import find

        organisation, now_us = exchange.caller.who.organisation, self._clock.now_us()
        return await self._link.read(lambda connection: find(connection, id, organisation=organisation, now_us=now_us))


def _id(exchange: Exchange) -> str:
    return exchange.path_values["completion_id"]


def _unknown(id: str) -> NotFound:
    return NotFound(
        f"There is no stored chat completion '{id}'.", hint="Only those made with store=true are kept, for 30 days."
    )


def routes(undercroft: Undercroft) -> list[Route]:
    stored_chats = StoredChats(undercroft)
    return [
        Route("GET", PATH, "ai", stored_chats.list_them),
        Route("GET", ONE, "ai", stored_chats.show),
        Route("POST", ONE, "ai", stored_chats.update),
        Route("DELETE", ONE, "ai", stored_chats.delete),
        Route("GET", f"{ONE}/messages", "ai", stored_chats.list_messages),
    ]
