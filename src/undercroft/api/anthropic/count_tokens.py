"""`POST /v1/messages/count_tokens`."""

import asyncio

from undercroft.api.anthropic.messages import passed_headers
from undercroft.api.exchange import OFF_LOOP_BYTES, Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.wire import anthropic
from undercroft.wire.anthropic.count import encode_answer

PATH = "/v1/messages/count_tokens"


def routes(undercroft: Undercroft) -> list[Route]:
    limits = undercroft.settings.server.limits

    async def count_tokens(exchange: Exchange) -> None:
        """Says how many tokens a conversation is, without answering it: no call is made or booked."""
        body = await exchange.body(limit=limits.max_body_bytes, timeout_s=limits.body_timeout_s)
        headers = passed_headers(exchange)
        if len(body) > OFF_LOOP_BYTES:
            request = await asyncio.to_thread(anthropic.decode_count, body, headers=headers)
        else:
            request = anthropic.decode_count(body, headers=headers)
        count = await undercroft.gateway.count_tokens(request, exchange.caller.who)
        await exchange.respond(encode_answer(count))

    return [Route("POST", PATH, "ai", count_tokens)]
