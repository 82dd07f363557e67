"""What callers do with responses they come back to: fetch, follow, cancel, delete, and list what went in."""

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from undercroft.api.exchange import OFF_LOOP_BYTES, Exchange
from undercroft.api.following import follow
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.errors import InvalidRequest
from undercroft.responses.types import Kept
from undercroft.wire.openai import responses as wire
from undercroft.wire.query import read_query

_encode = msgspec.json.Encoder().encode


class Fetch(msgspec.Struct, kw_only=True):
    """How a response is to be fetched."""

    stream: bool = False
    starting_after: Annotated[int, Meta(ge=0)] | None = None


class Page(msgspec.Struct, kw_only=True):
    """Which of the input items."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None


class KeptResponses:
    """The handlers, one a route."""

    def __init__(self, undercroft: Undercroft) -> None:
        self._responses = undercroft.responses
        self._gateway = undercroft.gateway
        self._server = undercroft.settings.server

    async def _find(self, exchange: Exchange) -> Kept:
        shelf = await self._responses.desk.shelf()
        return await shelf.find(exchange.caller.who.organisation, exchange.path_values["response_id"])

    async def show(self, exchange: Exchange) -> None:
        """A kept response; with `stream` the events of one that runs in the background, from the first or a later."""
        asked = read_query(exchange.query, Fetch)
        kept = await self._find(exchange)
        if not asked.stream:
            await exchange.respond(kept.ended.body)
            return
        if not kept.is_background:
            raise InvalidRequest("Only background responses can be streamed again.", param="stream")
        background = await self._responses.desk.background()
        after = -1 if asked.starting_after is None else asked.starting_after
        await follow(exchange, background.follow(kept, after=after), server=self._server)

    async def delete(self, exchange: Exchange) -> None:
        """Deletes a kept response; one that still runs is cancelled."""
        kept = await self._find(exchange)
        if kept.ended.status in wire.ACTIVE:
            background = await self._responses.desk.background()
            await background.cancel(kept)
        shelf = await self._responses.desk.shelf()
        await shelf.remove(kept.who.organisation, kept.ended.id)
        await exchange.respond(_encode(wire.DeletedResponse(id=kept.ended.id)))

    async def cancel(self, exchange: Exchange) -> None:
        """Stops a response that runs in the background; one that has ended stays as it is."""
        kept = await self._find(exchange)
        if not kept.is_background:
            raise InvalidRequest(
                "Cannot cancel a synchronous response.",
                param="response_id",
                hint="Close its connection, or create it with background=true.",
            )
        if kept.ended.status in wire.ACTIVE:
            background = await self._responses.desk.background()
            await background.cancel(kept)
            kept = await self._find(exchange)
        await exchange.respond(kept.ended.body)

    async def list_items(self, exchange: Exchange) -> None:
        """What went into a response, the conversation before it included; the latest first."""
        asked = read_query(exchange.query, Page)
        kept = await self._find(exchange)
        shelf = await self._responses.desk.shelf()
        items = await shelf.input_items(kept.who.organisation, kept.ended.id)
        await exchange.respond(_encode(_page(items, asked)))

    async def count_tokens(self, exchange: Exchange) -> None:
        """How many tokens a request for a response has, as its provider counts them or by estimate."""
        limits = self._server.limits
        body = await exchange.body(limit=limits.max_body_bytes, timeout_s=limits.body_timeout_s)
        asked = await asyncio.to_thread(wire.decode, body) if len(body) > OFF_LOOP_BYTES else wire.decode(body)
        turns = None
        if (previous := asked.body.previous_response_id) is not None:
            shelf = await self._responses.desk.shelf()
            turns = await shelf.turns(exchange.caller.who.organisation, previous)
            if turns is None:
                raise wire.unknown_response(previous)
        who = exchange.caller.who
        request, _ = self._responses.fit(wire.without_search(wire.request_of(asked, turns)), who)
        counted = wire.InputTokens(input_tokens=await self._gateway.count_tokens(request, who))
        await exchange.respond(_encode(counted))


def routes(undercroft: Undercroft) -> list[Route]:
    kept, path = KeptResponses(undercroft), "/v1/responses/{response_id}"
    return [
        Route("POST", "/v1/responses/input_tokens", "ai", kept.count_tokens),
        Route("GET", path, "ai", kept.show),
        Route("DELETE", path, "ai", kept.delete),
        Route("POST", f"{path}/cancel", "ai", kept.cancel),
        Route("GET", f"{path}/input_items", "ai", kept.list_items),
    ]


def _page(items: list[dict[str, Any]], asked: Page) -> wire.ItemList:
    """Part of the items, which come oldest first."""
    if asked.order == "desc":
        items.reverse()
    if asked.after is not None:
        places = [place for place, item in enumerate(items) if item["id"] == asked.after]
        if not places:
            raise InvalidRequest(f"There is no item '{asked.after}' in this response.", param="after")
        items = items[places[0] + 1 :]
    shown = items[: asked.limit]
    return wire.ItemList(
        data=shown,
        first_id=shown[0]["id"] if shown else "",
        last_id=shown[-1]["id"] if shown else "",
        has_more=len(items) > len(shown),
    )
