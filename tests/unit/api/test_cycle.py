"""A request's body on its way to the application."""

import asyncio
from typing import Any

from undercroft.api.cycle import READ_AHEAD_BYTES, Cycle
from undercroft.api.guard import Request, examine

PIECE = bytes(READ_AHEAD_BYTES // 2)
PIECES = 200
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (PIECES * len(PIECE))


class Socket:
    """A connection whose client is always ahead: it is read on and on until that is paused."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport = None
        self.is_parting = False
        self.is_read = True

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def feed(self, cycle: Cycle, count: int) -> int:
        """One look at the socket of a body of which so many pieces are missing; how many are after it."""
        while self.is_read and count:
            count -= 1
            cycle.feed(PIECE, is_last=not count)
        return count


async def sizes_received(*, is_awaited: bool) -> list[int]:
    """Of a body that comes as fast as it is let, before or after the application waits for it."""
    socket: Any = Socket()
    request = examine(HEAD)
    assert isinstance(request, Request)
    cycle = Cycle(socket, request, body_is_whole=False)
    sizes = []

    async def receive() -> None:
        more = True
        while more:
            message = await cycle.receive()
            more = message["more_body"]
            sizes.append(len(message["body"]))

    receiving = asyncio.create_task(receive())
    if is_awaited:
        await asyncio.sleep(0)
    missing = PIECES
    while not receiving.done():
        missing = socket.feed(cycle, missing)
        await asyncio.sleep(0)
    return sizes


def test_a_body_that_comes_faster_than_it_is_taken_waits_at_the_client() -> None:
    for is_awaited in (False, True):
        sizes = asyncio.run(sizes_received(is_awaited=is_awaited))
        assert sum(sizes) == PIECES * len(PIECE)
        assert max(sizes) == READ_AHEAD_BYTES
