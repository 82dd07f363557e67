"""Passes on the events of something that goes on by itself."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from undercroft.api.calls import EVENT_STREAM
from undercroft.api.exchange import Exchange
from undercroft.settings.model import Server


async def follow(exchange: Exchange, events: AsyncGenerator[bytes, None], *, server: Server) -> None:
    """Writes events as they come; whoever leaves misses nothing but them."""
    deadline = exchange.started + server.request_timeout_s
    with exchange.watch(deadline=deadline, seconds=server.request_timeout_s, abandon=lambda _: None):
        async with aclosing(events):
            await exchange.start(200, [*EVENT_STREAM])
            async for event in events:
                await exchange.write(event)
            await exchange.finish()
