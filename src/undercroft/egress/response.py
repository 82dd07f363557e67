"""An upstream's answer on its way: what has come, how it ended, and how to want no more of it."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from undercroft.egress.http1 import Head, Headers
from undercroft.errors import UndercroftError, UpstreamGarbled

_PAUSE_ABOVE_BYTES: Final = 65_536
"""What one response buffers for a slow reader before its upstream has to wait."""


class Sending(Protocol):
    """The connection an answer comes from."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    def pause(self) -> None:
        """The reader is slow: the upstream waits, and its silence is not its fault."""
        ...

    def resume(self) -> None:
        """The reader has caught up. Harmless when nothing was paused."""
        ...

    def unhear(self) -> None:
        """What came last does not count as a sign of life."""
        ...

    def finish_unread(self) -> None:
        """The reader has all it needs; a short rest may come."""
        ...

    def abort(self) -> None:
        """Closes at once, whatever is under way."""
        ...


class Response:
    """An upstream's answer. Whoever holds it reads it to the end, or calls `discard` or `close`."""

    __slots__ = (
        "_buffered", "_connection", "_failure", "_pieces", "_waiter", "_whole_up_to", "headers", "on_change",
        "on_chunk", "status",
    )  # fmt: skip

    headers: Headers

    def __init__(self, connection: Sending) -> None:
        self.status = 0
        self._connection: Sending | None = connection
        """None when the answer has ended, or nobody wants more of it."""
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._whole_up_to: int | None = None
        """Set while a whole body is wanted: the reader sleeps until the end, or until there is more than this."""
        self._failure: UndercroftError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.on_change: Callable[[], None] | None = None
        """Called at once whenever there is something to wait for: for a reader that is no task, and uses what
        follows here."""
        self.on_chunk: Callable[[bytes], bool] | None = None
        """Called first with what comes between two chunks of the body. What it takes (True) was one whole chunk, and
        goes nowhere else."""

    # For a reader that is called.

    @property
    def is_over(self) -> bool:
        """Nothing more comes, or is wanted."""
        return self._connection is None

    @property
    def is_empty(self) -> bool:
        """Nothing waits to be read."""
        return not self._pieces

    @property
    def failure(self) -> UndercroftError | None:
        """What ended it too early."""
        return self._failure

    @property
    def overflows(self) -> bool:
        """A whole body is larger than expected."""
        return self._whole_up_to is not None and self._buffered > self._whole_up_to

    def expect_whole(self, limit_bytes: int) -> None:
        """From now on `on_change` is for the head, the end, or a body of more than this."""
        self._whole_up_to = limit_bytes

    def taken(self) -> bytes:
        """What has arrived since the last time; empty when nothing has."""
        return self._take() if self._pieces else b""

    def put_back(self, piece: bytes) -> None:
        """What was taken is to be read once more, by another reader."""
        if piece:
            self._pieces.insert(0, piece)
            self._buffered += len(piece)

    # For one that waits.

    async def read(self) -> bytes:
        """What has arrived since the last read, at least a byte; empty at the end. Raises UpstreamError kinds."""
        while not self._pieces:
            if self._connection is None:
                if self._failure is not None:
                    raise self._failure
                return b""
            await self._change()
        return self._take()

    async def body(self, limit_bytes: int) -> bytes:
        """The whole body. A larger one is UpstreamGarbled, and its connection is dropped."""
        self._whole_up_to = limit_bytes
        if self._connection is not None:
            self._connection.resume()
        while self._connection is not None and self._buffered <= limit_bytes:
            await self._change()
        if self._buffered > limit_bytes:
            self.close()
            raise UpstreamGarbled(f"The upstream's answer is larger than {limit_bytes} bytes.")
        if self._failure is not None:
            raise self._failure
        return self._take()

    def said_nothing(self) -> None:
        """The reader could make nothing of what it read last: an upstream that drips bytes is as silent as one that
        sends none."""
        if self._connection is not None and not self._pieces:
            self._connection.unhear()

    def close(self) -> None:
        """Nobody wants more: an answer that is still coming is cut off at once. Harmless when it has ended."""
        connection = self._connection
        if connection is not None:
            self._connection = None
            connection.abort()
            self._wake()

    def discard(self) -> None:
        """The reader has all it needs. The connection is kept if the rest is short and comes soon, else dropped."""
        connection = self._connection
        if connection is not None:
            self._connection = None
            connection.finish_unread()

    def _take(self) -> bytes:
        pieces = self._pieces
        taken = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._buffered > _PAUSE_ABOVE_BYTES and self._connection is not None:
            self._connection.resume()
        self._buffered = 0
        return taken

    async def _change(self) -> None:
        """Waits for the connection to report something."""
        connection = self._connection
        assert connection is not None
        waiter = self._waiter = connection.loop.create_future()
        try:
            await waiter
        except BaseException:  # the reader was cancelled: whoever asked has left
            self.close()
            raise

    def _wake(self) -> None:
        on_change = self.on_change
        if on_change is not None:
            on_change()
            return
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    # What the connection calls.

    async def begun(self) -> "Response":
        """Waits for the head."""
        while self.status == 0:
            if self._failure is not None:
                raise self._failure
            await self._change()
        return self

    def begin(self, head: Head) -> None:
        self.status = head.status
        self.headers = head.headers
        self._wake()

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._buffered += len(piece)
        if self._whole_up_to is None:
            if self._buffered > _PAUSE_ABOVE_BYTES and self._connection is not None:
                self._connection.pause()
            self._wake()
        elif self._buffered > self._whole_up_to:
            self._wake()

    def end(self, failure: UndercroftError | None = None) -> None:
        self._connection = None
        self._failure = failure
        self._wake()
