"""One request and its answer on a connection: ASGI's receive and send, and a shorter way for our own routes."""

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote

from undercroft.api.guard import Request
from undercroft.telemetry.logs import get_logger

if TYPE_CHECKING:
    from undercroft.api.exchange import Message, Scope

Headers = Iterable[tuple[bytes, bytes]]

EXTENSION: Final = "undercroft.cycle"
"""Under this name in `scope["extensions"]` an application finds the cycle itself."""

READ_AHEAD_BYTES: Final = 64 * 1024
"""What a client may send ahead of what is done with it before it has to wait."""

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}
_NO_BODY: Final = frozenset({204, 304})
_FRAMING: Final = frozenset({b"content-length", b"connection", b"transfer-encoding"})


class Connection(Protocol):
    """The connection a cycle belongs to."""

    loop: asyncio.AbstractEventLoop
    client: tuple[str, int] | None
    server: tuple[str, int] | None
    scheme: str
    state: Any
    is_parting: bool
    """The client is to connect anew after the next answer."""

    @property
    def transport(self) -> asyncio.Transport: ...
    @property
    def is_clogged(self) -> bool: ...
    async def drain(self) -> None: ...
    def answered(self, cycle: "Cycle", *, keep_alive: bool) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def run(self, cycle: "Cycle", app: Any) -> None: ...


class Cycle:
    """One request under way.

    `receive` and `send` are ASGI's. An application that knows us calls `begin`, `write`, `end` or `respond` instead,
    which write at once, and sets `on_lost` to learn that the client has gone without a task that waits for it.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_is_read",
        "_keep_alive",
        "_left",
        "_request",
        "_transport",
        "_waiter",
        "answered",
        "body_is_whole",
        "deadline",
        "is_chunked",
        "is_lost",
        "on_cut",
        "on_drained",
        "on_expired",
        "on_lost",
        "task",
    )

    def __init__(self, connection: Connection, request: Request, *, body_is_whole: bool) -> None:
        self._connection = connection
        self._transport = connection.transport
        self._request = request
        self._keep_alive = request.keep_alive and not connection.is_parting
        self._body = b""
        self._waiter: asyncio.Future[None] | None = None
        self.is_chunked = False
        """The body is sent in chunks."""
        self._is_read = False
        """The application has the whole body."""
        self._left = 0
        self.body_is_whole = body_is_whole
        self.answered = False
        """The status line is out."""
        self.is_lost = False
        """The client has gone, or the whole answer is out: nothing more is read or written."""
        self.task: asyncio.Task[None] | None = None
        """What runs the application."""
        self.on_lost: Callable[[], None] | None = None
        self.deadline = float("inf")
        """Monotonic seconds after which `on_expired` is called, within a second."""
        self.on_expired: Callable[[], None] | None = None
        self.on_cut: Callable[[], None] | None = None
        self.on_drained: Callable[[], None] | None = None
        """Called when a client reads again that did not keep up."""

    @property
    def scope(self) -> "Scope":
        connection, request = self._connection, self._request
        path, _, query = request.target.partition(b"?")
        text = path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": request.version,
            "method": request.method,
            "scheme": connection.scheme,
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": request.headers,
            "client": connection.client,
            "server": connection.server,
            "extensions": {EXTENSION: self},
        }

    def examined(self, request: Request) -> None:
        """The request with all that its head says, for the application."""
        self._request = request

    def start(self, app: Any) -> None:
        """Has the application answer, in a task."""
        self._connection.run(self, app)

    async def run(self, app: Any) -> None:
        """Lets the application answer; an answer it leaves unfinished ends with the connection."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        except Exception:  # noqa: BLE001 - the outermost edge: whatever it was, the client must learn that it is over
            get_logger("undercroft.server").exception("application_failed")
        if not self.is_lost:
            self._transport.close()

    # What the connection tells us.

    def feed(self, data: bytes, *, is_last: bool) -> None:
        """The next piece of the body.

        What one look at the socket finds comes piece after piece before the application runs again (with uvloop up to
        8 MB), and each copy of that is as large: so the client waits for the application here, not only later.
        """
        self._body += data
        self.body_is_whole = is_last
        if len(self._body) >= READ_AHEAD_BYTES and not is_last:
            self._connection.pause_reading()
        self._wake()

    def lose(self) -> None:
        """The client has gone."""
        if self.is_lost:
            return
        self.is_lost = True
        self._wake()
        if self.on_lost is not None:
            self.on_lost()

    def sweep(self, now: float) -> None:
        """Looks whether the time is up."""
        if now > self.deadline and self.on_expired is not None:
            self.deadline = float("inf")
            self.on_expired()

    def part(self) -> None:
        """Tells the client to connect anew, unless its answer has begun without saying so."""
        if not self.answered:
            self._keep_alive = False

    def cut(self) -> None:
        """The server ends now, with this request under way."""
        if self.on_cut is not None:
            self.on_cut()
        elif self.task is not None:
            self.task.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ASGI.

    async def receive(self) -> "Message":
        """The body as it comes; after its end, nothing until the client has gone."""
        while not self.is_lost and (self._is_read or not (self._body or self.body_is_whole)):
            await self._wait()
        if self.is_lost:
            return {"type": "http.disconnect"}
        body, self._body, self._is_read = self._body, b"", self.body_is_whole
        return {"type": "http.request", "body": body, "more_body": not self.body_is_whole}

    async def _wait(self) -> None:
        if self._request.expects_continue and not self.body_is_whole and not self.answered:
            self._request.expects_continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._connection.resume_reading()
        self._waiter = self._connection.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def send(self, message: "Message") -> None:
        """ASGI's send, for applications that do not know us."""
        if message["type"] == "http.response.start":
            self.begin(message["status"], message.get("headers", ()))
        elif message.get("more_body"):
            self.write(message.get("body", b""))
        else:
            self.end(message.get("body", b""))
        await self._connection.drain()

    # The shorter way. Nothing is written any more once the client has gone.

    def begin(self, status: int, headers: Headers) -> None:
        """Status and headers. Without a content-length the body is sent in chunks (to HTTP/1.0: until we close)."""
        head, self._left, self.is_chunked = self._head(status, headers)
        self.answered = True
        if not self.is_lost:
            self._transport.write(head)

    def write(self, piece: bytes) -> None:
        """A piece of the body."""
        if self.is_lost or not piece or self._request.method == "HEAD":
            return
        if self.is_chunked:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        else:
            self._left -= len(piece)
        self._transport.write(piece)

    def write_chunk(self, chunk: bytes) -> None:
        """The same of a piece in a chunk, where the client is sent such (`is_chunked`)."""
        if not self.is_lost:
            self._transport.write(chunk)

    def end(self, piece: bytes = b"") -> None:
        """The last piece of the body."""
        if self.is_lost:
            return
        if self.is_chunked and self._request.method != "HEAD":
            last = b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece) if piece else b"0\r\n\r\n"
            self._transport.write(last)
        else:
            self.write(piece)
        self._finish(keep_alive=self._keep_alive and (self._left == 0 or self._request.method == "HEAD"))

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer in one write; `headers` hold its content-length."""
        head, _, _ = self._head(status, headers)
        self.answered = True
        if self.is_lost:
            return
        self._transport.write(head if self._request.method == "HEAD" else head + body)
        self._finish(keep_alive=self._keep_alive)

    @property
    def is_clogged(self) -> bool:
        """The client does not read as fast as we write: `drain` before writing more."""
        return self._connection.is_clogged

    async def drain(self) -> None:
        """Returns when the client has read enough of what was written."""
        await self._connection.drain()

    def _finish(self, *, keep_alive: bool) -> None:
        self.is_lost = True
        self._wake()
        self._connection.answered(self, keep_alive=keep_alive)

    def _head(self, status: int, headers: Headers) -> tuple[bytes, int, bool]:
        """The head, the length its body must have (-1: unknown), and whether that comes in chunks."""
        lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        for name, value in self._connection.state.default_headers:
            lines += (name, b": ", value, b"\r\n")
        length = -1
        closes = not (self._keep_alive and self.body_is_whole)  # answered before the request's end: 413, say
        for name, value in headers:
            if name in _FRAMING:
                if name == b"content-length":
                    length = int(value)
                elif name == b"connection":
                    self._keep_alive = self._keep_alive and value.lower() != b"close"
                    closes = True
                    continue
                else:
                    continue  # ours to decide
            lines += (name, b": ", value, b"\r\n")
        head = b"".join(lines)
        if not head.count(b"\n") == head.count(b"\r") == 1 + len(lines) // 4:
            raise ValueError("a header of an answer holds a line break")
        is_chunked = False
        if length < 0 and status not in _NO_BODY and status >= 200:
            if self._request.version == "1.1":
                is_chunked = True
                head += b"transfer-encoding: chunked\r\n"
            else:
                self._keep_alive, closes = False, True
        if closes:
            self._keep_alive = False
            head += b"connection: close\r\n"
        return head + b"\r\n", max(length, 0), is_chunked
