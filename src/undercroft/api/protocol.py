"""The server side of HTTP/1.1: one client connection, from bytes to ASGI calls and back.

uvicorn keeps the listening socket, counts connections and winds down; what it would parse, `guard.examine` has already
taken apart. Heads are judged whole before anything else sees them, bodies are handed on by the length their head
declared, and requests of one connection are answered strictly one after the other.
"""

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from undercroft.api.cycle import READ_AHEAD_BYTES, Cycle
from undercroft.api.guard import NOT_HTTP, TOO_LONG, Refusal, Request, examine
from undercroft.api.shortcuts import Expressed, Half, HasFastPath, Head
from undercroft.api.watchman import Watchman
from undercroft.egress.http1 import Chunked
from undercroft.egress.turn import turn_of
from undercroft.errors import InvalidRequest, UpstreamGarbled
from undercroft.wire.errors import envelope

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

END: Final = b"\r\n\r\n"
LINGER_S: Final = 10.0
"""How long a client that was answered too early may go on sending, so that it comes to read why."""
TOO_SLOW: Final = Refusal(408, "The request's head did not come in time.")
TOO_MANY: Final = Refusal(503, "The server has as many connections as it takes.")
_OK: Final = HTTPStatus.OK.value
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class HttpProtocol(asyncio.Protocol):
    """One client connection. uvicorn makes it, and calls `shutdown` when it winds down."""

    cycle_type = Cycle

    def __init__(
        self,
        config: "Config",
        server_state: "ServerState",
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        watchman: Watchman,
        beside: HasFastPath | None = None,
    ) -> None:
        """Without anything `beside` it the application answers every request."""
        self._beside = beside
        self.app = config.loaded_app
        self.loop = _loop or asyncio.get_running_loop()
        self.state = server_state
        self._watchman = watchman
        self._clock = watchman.clock
        self._transport: asyncio.Transport
        self._turn = turn_of(self.loop)
        self._held = b""
        """An answer that goes out at the end of this turn."""
        self._ahead = b""
        """Received and not yet taken: part of a head, or what follows the request that is being answered."""
        self._body_left = 0
        self._chunks: Chunked | None = None
        self._half: Half | None = None
        """The request under way, as long as the rest of its body is waited for."""
        self.cycle: Cycle | None = None
        """The request under way."""
        self.express: Expressed | None = None
        """The same, as long as it needs no cycle."""
        self._waiting_since: float | None = None
        """Since when the connection waits for (the rest of) a head; None while a request is under way."""
        self._lingers_until: float | None = None
        """Set once nothing of this connection is served any more: what still comes is thrown away until then."""
        self._reading = True
        self._resumed: asyncio.Event | None = None
        """Set when the client reads again; there only while it does not."""
        self._unread_bytes = 0
        self._unread_since: float | None = None
        """Since when a client that does not keep up has read nothing at all."""
        self._is_winding_down = False
        self.is_parting = False

    @property
    def transport(self) -> asyncio.Transport:
        """For whatever is to be done with it behind all that was answered."""
        if self._held:
            self.send_held()
        return self._transport

    # What the transport tells us.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # always one
        self._transport = transport
        self.client = _address(transport.get_extra_info("peername"))
        self.server = _address(transport.get_extra_info("sockname"))
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self.state.connections.add(self)  # type: ignore[arg-type]  # any protocol with `shutdown` will do
        self._waiting_since = self._clock.monotonic()
        self._watchman.watch(self)
        if len(self.state.connections) > self._watchman.max_connections:
            self._refuse(TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        self.state.connections.discard(self)
        self.resume_writing()
        self._slow_down()
        if self.cycle is not None:
            self._wait_no_more(self.cycle)
            self.cycle.lose()
            self.cycle = None

    def data_received(self, data: bytes) -> None:
        if self._lingers_until is not None:
            return
        if self.express is not None:
            self._keep(data)
        elif self.cycle is None:
            self._take_head(self._ahead + data if self._ahead else data)
        elif self._half is not None:
            self._go_fast(self.cycle, self._half._replace(data=self._half.data + data))
        elif self._body_left or self._chunks is not None:
            self._take_body(self.cycle, data)
        else:
            self._keep(data)

    def pause_writing(self) -> None:
        self._resumed = asyncio.Event()

    def resume_writing(self) -> None:
        self._unread_since = None
        if self._resumed is not None:
            self._resumed.set()
            self._resumed = None
            if self.cycle is not None and self.cycle.on_drained is not None and not self.transport.is_closing():
                self.cycle.on_drained()

    # From bytes to requests.

    def _take_head(self, data: bytes) -> None:
        end = data.find(END) + len(END)
        if end < len(END):
            self._collect(data)
            return
        self._ahead = b""
        path = self._beside.fast_path if self._beside is not None else None
        plain = path.find(data[:end]) if path is not None else None
        if path is not None and plain is not None:
            head, length = plain
            if len(data) == end + length and not self.is_parting and path.express(self, head, data[end:]):
                return
        if path is None or plain is None:
            request = self._examined(data[:end])
            if isinstance(request, Refusal):
                self._refuse(request)
                return
            self._waiting_since = None
            plain = path.read(data[:end], request) if path is not None else None
            if path is None or plain is None:
                cycle = self.cycle = self.cycle_type(self, request, body_is_whole=False)
                self.request_begins()
                self._leave(cycle, request, data[end:])
                return
        self._waiting_since = None
        head, length = plain
        cycle = self.cycle_of(head)
        self.request_begins()
        self._go_fast(cycle, Half(path, head, length, data, end))

    def _examined(self, head: bytes) -> Request | Refusal:
        watchman = self._watchman
        return examine(head, max_bytes=watchman.max_head_bytes, max_fields=watchman.max_fields)

    def _go_fast(self, cycle: Cycle, half: Half) -> None:
        """Past the application, if it can. Many clients send a head and its body in two pieces: the second is waited
        for."""
        missing = half.end + half.length - len(half.data)
        if missing > 0 and self._half is None and half.length <= READ_AHEAD_BYTES:
            self._half = half
            return
        self._half = None
        if missing or not half.path.take(cycle, half.head, half.data[half.end :]):
            self._leave_half(cycle, half)

    def _leave_half(self, cycle: Cycle, half: Half) -> None:
        self._half = None
        request = self._examined(half.data[: half.end])
        assert not isinstance(request, Refusal), "it was examined before"
        cycle.examined(request)
        self._leave(cycle, request, half.data[half.end :])

    def _leave(self, cycle: Cycle, request: Request, rest: bytes) -> None:
        """To the application, with what has come of the body."""
        self._body_left = request.length
        self._chunks = Chunked() if request.is_chunked else None
        has_body = bool(request.length or request.is_chunked)
        cycle.body_is_whole = not has_body
        if rest and has_body:
            self._take_body(cycle, rest)
        elif rest:
            self._keep(rest)
        if not cycle.is_lost:
            self.run(cycle, self.app)

    def _wait_no_more(self, cycle: Cycle) -> None:
        """What is still missing of a request is for the application to wait for, or to do without."""
        if self._half is not None:
            self._leave_half(cycle, self._half)

    def request_begins(self) -> None:
        """For whoever counts requests, as is `answer_begins`."""

    def answer_begins(self, status: int) -> None:
        """Its status line goes out now, or its express answer."""

    def run(self, cycle: Cycle, app: Any) -> None:
        """Has an application answer a request, in a task that uvicorn waits for when it winds down."""
        task = cycle.task = self.loop.create_task(cycle.run(app))
        self.state.tasks.add(task)
        task.add_done_callback(self.state.tasks.discard)

    def _collect(self, data: bytes) -> None:
        """Part of a head: as much as can be said of it is said at once."""
        if len(data) > self._watchman.max_head_bytes:
            self._refuse(TOO_LONG)
        elif _BARE_LINE_FEED.search(data):
            self._refuse(NOT_HTTP)
        else:
            if not self._ahead:
                self._waiting_since = self._clock.monotonic()
            self._ahead = data

    def _take_body(self, cycle: Cycle, data: bytes) -> None:
        if self._chunks is not None:
            self._take_chunks(cycle, self._chunks, data)
            return
        left = self._body_left
        if len(data) > left:
            self._keep(data[left:])
            data = data[:left]
        self._body_left = left - len(data)
        cycle.feed(data, is_last=not self._body_left)

    def _take_chunks(self, cycle: Cycle, chunks: Chunked, data: bytes) -> None:
        try:
            payload = chunks.feed(data)
        except UpstreamGarbled:
            self._drop(cycle)
            return
        if chunks.overrun:
            # Something follows a chunked body in the same piece. No client does that; smugglers do.
            self._drop(cycle)
            return
        if chunks.ended:
            self._chunks = None
        cycle.feed(payload, is_last=chunks.ended)

    def _drop(self, cycle: Cycle) -> None:
        """A body that breaks its own framing: the request is not served, and nothing after it."""
        if cycle.answered:
            self.transport.abort()
        else:
            cycle.answered = True
            self._refuse(NOT_HTTP)
        cycle.lose()

    def _keep(self, data: bytes) -> None:
        """The client is ahead of us: what it sends waits, and past a limit so does the client."""
        self._ahead += data
        if len(self._ahead) > READ_AHEAD_BYTES:
            self.pause_reading()

    def pause_reading(self) -> None:
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading and not self.transport.is_closing():
            self._reading = True
            self.transport.resume_reading()

    # What an express call tells us.

    def expect(self, express: Expressed | None) -> None:
        """The request is taken, and answered by `respond`; None: at once."""
        self.express = express
        self._waiting_since = None
        self.request_begins()

    def cycle_of(self, head: Head) -> Cycle:
        """It goes on with a cycle."""
        self.express = None
        cycle = self.cycle = self.cycle_type(self, head.request, body_is_whole=True)
        return cycle

    def respond(self, head: bytes, body: bytes) -> None:
        """It is answered, well: its head less what all have in common, and its body."""
        self.express = None
        self.answer_begins(_OK)
        fields = self.state.default_headers
        if fields is not self._watchman.default_fields:
            self._watchman.write_defaults(fields)
        answer = b"".join((self._watchman.beginning, head, body))
        if self._held:  # a client that does not wait for one answer before it asks again
            self._held += answer
        else:
            self._held = answer
            self._turn.add(self)
        self._answered(keep_alive=True)

    def send_held(self) -> None:
        """What `respond` was given."""
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)

    def _slow_down(self) -> None:
        if self.express is not None:
            self.express.slow_down()

    # What a cycle and uvicorn tell us.

    def answered(self, cycle: Cycle, *, keep_alive: bool) -> None:
        """A request has its whole answer: the next one may begin."""
        self.cycle = None
        if not cycle.body_is_whole:
            self.state.total_requests += 1
            self._part(lingers=True)
        else:
            self._answered(keep_alive=keep_alive)

    def _answered(self, *, keep_alive: bool) -> None:
        self.state.total_requests += 1
        if not keep_alive or self._is_winding_down:
            self._part(lingers=False)
            return
        self._waiting_since = self._clock.monotonic()
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            self.loop.call_soon(self.data_received, ahead)
        self.resume_reading()

    @property
    def is_clogged(self) -> bool:
        """The client reads too slowly for what was written."""
        return self._resumed is not None

    async def drain(self) -> None:
        """Returns when the client has read enough of what was written."""
        if self._resumed is not None:
            await self._resumed.wait()

    def shutdown(self) -> None:
        """uvicorn winds down: an idle connection closes, a busy one after its answer."""
        self._is_winding_down = True
        if self.cycle is None and self.express is None:
            self.transport.close()

    def part(self) -> None:
        """The answer under way, or the next one, is this connection's last; until then it stays, for a client may be
        about to use it."""
        self.is_parting = True
        self._slow_down()
        if self.cycle is not None:
            self.cycle.part()

    def cut(self) -> None:
        """The server ends now: whoever still waits for an answer is told."""
        self._slow_down()
        if self._half is not None:
            self.transport.abort()
        elif self.cycle is not None:
            self.cycle.cut()

    def sweep(self, now: float) -> None:
        """Closes the connection if it has waited for too long."""
        if self.express is not None and now > self.express.deadline:
            self.express.slow_down()
        if self.cycle is not None:
            self._wait_no_more(self.cycle)
            self.cycle.sweep(now)
        if self._resumed is not None and self._reads_nothing(now):
            self.transport.abort()
            return
        if self._lingers_until is not None and now > self._lingers_until:
            self.transport.abort()
        since = self._waiting_since
        if since is None or self.transport.is_closing():
            return
        if self._ahead and now - since > self._watchman.header_timeout_s:
            self._refuse(TOO_SLOW)
        elif not self._ahead and now - since > self._watchman.keep_alive_s:
            self.transport.close()

    def _reads_nothing(self, now: float) -> bool:
        """Whether a client that does not keep up has stood still for too long: a slow one is not cut."""
        unread_bytes = self.transport.get_write_buffer_size()
        if self._unread_since is None or unread_bytes < self._unread_bytes:
            self._unread_bytes, self._unread_since = unread_bytes, now
        return now - self._unread_since > self._watchman.write_timeout_s

    def _refuse(self, refusal: Refusal) -> None:
        request_id = self._watchman.ids.new("req_")
        _, _, body = envelope(InvalidRequest(refusal.message, code="malformed_http"), request_id=request_id)
        self.transport.write(_REFUSED % (refusal.status, request_id.encode(), request_id.encode(), len(body)) + body)
        self._part(lingers=refusal is not TOO_MANY)

    def _part(self, *, lingers: bool) -> None:
        """Ends the connection after what was written.

        An answer before the end of its request (413, say) would be lost if we closed while the client is still sending:
        the system answers what comes then with a reset. So we linger: read on for a while, and serve nothing of it,
        since what is still coming cannot be told from a new request.
        """
        if not lingers or self.transport.is_closing():
            self.transport.close()
            return
        self._lingers_until = self._clock.monotonic() + LINGER_S
        self._waiting_since = None
        self._ahead = b""
        self.transport.write_eof()
        self.resume_reading()


_REFUSED: Final = (
    b"HTTP/1.1 %d Refused\r\ncontent-type: application/json\r\nx-request-id: %b\r\nrequest-id: %b\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n"
)


def _address(name: Any) -> tuple[str, int] | None:
    """An ASGI address of what a socket calls it; None for Unix sockets."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else None
