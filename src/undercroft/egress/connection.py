"""One connection to an upstream.

Callbacks all the way: a call costs one future for each time it has to wait, and no task. The connection feeds its
response; the response pauses it when nobody reads, and aborts it when its reader leaves.
"""

import asyncio
import math
from typing import Final, Protocol, cast

from undercroft.egress.http1 import MAX_HEAD_BYTES, Chunked, Framing, Head, UntilClose
from undercroft.egress.response import Response
from undercroft.egress.turn import turn_of
from undercroft.errors import UndercroftError, UpstreamGarbled, UpstreamTimedOut, UpstreamUnreachable

_REST_BYTES: Final = 65_536
_REST_S: Final = 1.0
"""How much of an answer may follow after its reader has enough, for the connection to be worth keeping."""
_JOIN_BELOW_BYTES: Final = 65_536
"""Below this, copying head and body together costs less than writing them as two."""


class Stale(UpstreamUnreachable):
    """A kept-open connection was closed by its peer before a byte of the answer: the call may be sent once more."""


class Owner(Protocol):
    """Whoever keeps the connections."""

    def released(self, connection: "Connection", /) -> None:
        """The connection is free for the next call."""
        ...

    def lost(self, connection: "Connection", /) -> None:
        """The connection is closed."""
        ...


class Taker(Protocol):
    """Whoever wants an answer only if it is the usual one: whole, in one piece. Each of these is its end, and called
    once."""

    def take(self, connection: "Connection", data: bytes, /) -> bool:
        """The first bytes of the answer have come. True: it is all there, and taken (`Connection.is_free`). False: a
        response has been made for it (`Connection.response`)."""
        ...

    def give_up(self, connection: "Connection", /) -> None:
        """There will be none, or not in time: a response is to be made, for what comes instead."""
        ...


class Connection(asyncio.Protocol):
    """Sends one request at a time and parses its answer.

    `heard`, `patience_s` and `deadline` belong to the client's ticker: a connection that was heard of gets
    `patience_s` from the next tick on, so that no call and no chunk reads the clock or makes a timer.
    """

    __slots__ = (
        "_framing", "_held", "_idle_s", "_keep_alive_s", "_keeps_open", "_name", "_partial", "_paused", "_resendable",
        "_response", "_rest_bytes", "_taker", "_transport", "_turn", "_was_used", "deadline", "heard", "is_open",
        "loop", "owner", "patience_s",
    )  # fmt: skip

    def __init__(self, *, name: str, keep_alive_s: float, loop: asyncio.AbstractEventLoop) -> None:
        self.owner: Owner | None = None
        """None while it is being made: an attempt that fails half-way has no place to give back."""
        self._name = name
        self._keep_alive_s = keep_alive_s
        self._turn = turn_of(loop)
        self._held = b""
        """A request that goes out at the end of this turn."""
        self.loop = loop
        self.is_open = False
        self.heard = True
        self.patience_s = keep_alive_s
        self.deadline = math.inf
        self._transport: asyncio.Transport
        self._response: Response | None = None
        self._taker: Taker | None = None
        self._rest_bytes: int | None = None
        """How much more may come of an answer that nobody reads; None while somebody does."""
        self._framing: Framing | None = None
        """None until the head is there."""
        self._partial = b""
        self._keeps_open = False
        self._was_used = False
        self._resendable = False
        self._paused = False
        self._idle_s = 0.0

    # What the client and the response call.

    def send(self, message: tuple[bytes, bytes], *, first_byte_s: float, idle_s: float) -> Response:
        """Sends a request: its head and its body."""
        response = self.response()
        if response.is_over:
            return response
        self._begin(first_byte_s=first_byte_s, idle_s=idle_s)
        if len(message[1]) < _JOIN_BELOW_BYTES:
            self._transport.write(b"".join(message))
        else:
            self._transport.writelines(message)
        return response

    def pass_on(self, message: bytes, taker: Taker, *, first_byte_s: float, idle_s: float) -> None:
        """Sends a whole request, for whose answer there is somebody else than a response."""
        if not self.is_open or self._transport.is_closing():
            taker.give_up(self)
            return
        self._taker = taker
        self._begin(first_byte_s=first_byte_s, idle_s=idle_s)
        self._held = message
        self._turn.add(self)

    def send_held(self) -> None:
        """The request that was passed on."""
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)

    def response(self) -> Response:
        """For whatever comes next. Before anything was sent, it is over where nothing can come."""
        was_sent, self._taker = self._taker is not None, None
        response = Response(self)
        if not was_sent and (not self.is_open or self._transport.is_closing()):
            response.end(Stale(f"{self._name} closed the connection."))
        else:
            self._response = response
        return response

    def is_free(self) -> None:
        """The answer was taken, and leaves the connection open."""
        # A request that is not sent to its end (the upstream refused it early) would run into the next one.
        if self.owner is None or self._held or self._transport.get_write_buffer_size():
            self._transport.abort()
            return
        self._resendable = False
        self.patience_s = self._keep_alive_s
        self.heard = True
        self.owner.released(self)

    def _begin(self, *, first_byte_s: float, idle_s: float) -> None:
        self._resendable = self._was_used
        self._was_used = True
        self._idle_s = idle_s
        self.patience_s = first_byte_s
        self.heard = True
        self.deadline = math.inf

    def unhear(self) -> None:
        """What came was no part of an answer (a comment, half an event): the time goes on running."""
        if self.deadline != math.inf:  # else it has not been set since the wait began
            self.heard = False

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self.heard = False
        self.deadline = math.inf

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
            self.heard = True

    def finish_unread(self) -> None:
        self._rest_bytes = _REST_BYTES
        self.patience_s = _REST_S
        self.heard = True
        self.resume()

    def abort(self) -> None:
        self._response = None
        self._transport.abort()

    def fail(self, failure: UndercroftError) -> None:
        """Closes at once and tells whoever reads."""
        if self._taker is not None:
            self._taker.give_up(self)
        response = self._response
        self.abort()
        if response is not None:
            response.end(failure)

    def expire(self) -> None:
        """The ticker found the deadline passed."""
        silent = f"{self._name} was silent for {self.patience_s:g} s"
        self.fail(
            UpstreamTimedOut(f"{silent}, {'before' if self._framing is None else 'in the middle of'} its answer.")
        )

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        taker = self._taker
        if taker is not None:
            if self._held:  # it was not asked yet: this is no answer, and of the next one we could not be sure either
                self._transport.abort()
                return
            self._taker = None
            if taker.take(self, data):
                return
        if self._turn.senders:  # a burst of chunks is not to keep them waiting
            self._turn.send()
        response = self._response
        if response is None:  # nobody asked for anything
            self._transport.abort()
            return
        try:
            framing = self._framing
            if framing is None:
                self._receive_head(response, data)
            else:
                self.heard = True
                self.patience_s = self._idle_s
                on_chunk = response.on_chunk
                if on_chunk is not None and type(framing) is Chunked and framing.is_between and on_chunk(data):
                    return
                self._receive_body(response, framing, data)
        except UpstreamGarbled as garbled:
            self.fail(garbled)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._taker is not None:
            self._taker.give_up(self)
        self.is_open = False
        response = self._response
        if response is not None:
            self._response = None
            response.end(self._why_lost(exc))
        if self.owner is not None:
            self.owner.lost(self)

    def _receive_head(self, response: Response, data: bytes) -> None:
        self._resendable = False
        while True:
            if self._partial:
                data = self._partial + data
                self._partial = b""
            end = data.find(b"\r\n\r\n")
            if end < 0 and len(data) <= MAX_HEAD_BYTES and b"\n\n" not in data:
                self._partial = data
                return
            if not 0 <= end <= MAX_HEAD_BYTES:
                raise UpstreamGarbled(f"{self._name} sent a head that does not end within {MAX_HEAD_BYTES} bytes.")
            head = Head(data[:end])
            data = data[end + 4 :]
            if head.status >= 200:
                break
            if head.status == 101:
                raise UpstreamGarbled(f"{self._name} switched to another protocol unasked.")
        framing = self._framing = head.framing
        self._keeps_open = head.keeps_open
        response.begin(head)  # and the wait for the first byte of its body goes on: a head alone says nothing
        if data or framing.ended:
            self.heard = True
            self.patience_s = self._idle_s
            self._receive_body(response, framing, data)

    def _receive_body(self, response: Response, framing: Framing, data: bytes) -> None:
        piece = framing.feed(data)
        if self._rest_bytes is not None:
            self._rest_bytes -= len(piece)
            if self._rest_bytes < 0:
                self.abort()
                return
        elif piece:
            response.add(piece)
        if framing.ended and self._response is not None:  # a reader that is called may have aborted
            self._finish(response, framing)

    def _finish(self, response: Response, framing: Framing) -> None:
        self._response = None
        self._framing = None
        self._rest_bytes = None
        response.end()
        if not self._keeps_open or framing.overrun:
            self._transport.abort()
            return
        self.resume()
        self.is_free()

    def _why_lost(self, exc: Exception | None) -> UndercroftError | None:
        if exc is None and isinstance(self._framing, UntilClose):
            return None
        kind = UpstreamUnreachable
        if self._resendable and (exc is None or isinstance(exc, ConnectionError)):
            kind = Stale
        where = "before" if self._framing is None else "in the middle of"
        failure = kind(f"{self._name} closed the connection {where} its answer.")
        failure.__cause__ = exc
        return failure
