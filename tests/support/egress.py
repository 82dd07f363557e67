"""What tests of outbound calls share: a client with small limits, one call, and time that passes when told."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from tests.support.clock import ManualClock
from tests.support.upstream import Upstream
from undercroft.clock import Clock, SystemClock
from undercroft.egress.client import Client
from undercroft.egress.http1 import request_head
from undercroft.egress.origin import parse_base_url
from undercroft.egress.response import Response
from undercroft.settings.model import Egress


@asynccontextmanager
async def open_client(clock: Clock | None = None, **limits: Any) -> AsyncGenerator[Client, None]:
    """A client that is closed at the end; `limits` are settings of `[egress]`."""
    client = Client(limits=Egress(**limits), clock=clock or SystemClock())
    try:
        yield client
    finally:
        await client.close()


async def post(
    client: Client, upstream: Upstream, model: str = "test", *, body: bytes | None = None, **more: Any
) -> Response:
    """One chat call. `more` is passed on to the client."""
    origin, path = parse_base_url(upstream.base_url)
    head = request_head("POST", f"{path}/chat/completions", host=str(origin), fields={"x-test": "1"})
    if body is None:
        body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "hi"}]})
    return await client.send(origin, head, body, **more)


async def read_all(response: Response) -> list[bytes]:
    """The pieces of an answer as they come."""
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return pieces


async def until(reached: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """Waits for something the other side of a socket does."""
    async with asyncio.timeout(within_s):
        while not reached():  # noqa: ASYNC110  # what is waited for has no event: it is any fact about the other side
            await asyncio.sleep(0.001)


async def pass_time(clock: ManualClock, seconds: float) -> None:
    """Lets the client's ticker see a tick, the time, and another tick."""
    for step_s in (0.1, seconds, 0.1):
        clock.advance(step_s)
        for _ in range(5):
            await asyncio.sleep(0)
