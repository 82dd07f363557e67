"""uvicorn's HTTP protocol behind the hostile-request guard.

Heads are collected whole and judged by `guard.examine` before the parser gets them; bodies are handed on by the length
their head declared. Two requests are never made out of one, and a connection that sent anything odd is closed.
"""

import asyncio
import re
import weakref
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from undercroft.api.guard import MAX_HEAD_BYTES, TOO_LONG, Framing, Refusal, examine
from undercroft.clock import Clock
from undercroft.errors import InvalidRequest
from undercroft.wire.errors import envelope

SWEEP_S = 1.0
END = b"\r\n\r\n"
NOT_HTTP = Refusal(400, "The request is not well-formed HTTP/1.1.")
TOO_SLOW = Refusal(408, "The request's head did not come in time.")
TOO_MANY = Refusal(503, "The server has as many connections as it takes.")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class Watchman:
    """Ends connections that dawdle over a head or have been idle for too long.

    One sweep a second over all of them; a timer for every request would cost more than the guard itself.
    """

    def __init__(self, *, clock: Clock, header_timeout_s: float, keep_alive_s: float, max_connections: int) -> None:
        self.clock = clock
        self.max_connections = max_connections
        self._header_timeout_s = header_timeout_s
        self._keep_alive_s = keep_alive_s
        self._watched: weakref.WeakSet[GuardedProtocol] = weakref.WeakSet()

    def watch(self, protocol: "GuardedProtocol") -> None:
        self._watched.add(protocol)

    async def run(self) -> None:
        """Sweeps until cancelled."""
        while True:
            await self.clock.sleep(SWEEP_S)
            now = self.clock.monotonic()
            for protocol in tuple(self._watched):
                protocol.sweep(now, header_timeout_s=self._header_timeout_s, keep_alive_s=self._keep_alive_s)


class GuardedProtocol(HttpToolsProtocol):
    """One client connection."""

    def __init__(self, *arguments: Any, watchman: Watchman, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._watchman = watchman
        self._clock = watchman.clock
        self._head = b""
        self._body_left = 0
        self._in_chunked_body = False
        self._chunked_body_ended = False
        self._waiting_since: float | None = None
        """Since when the connection waits for (the rest of) a head; None while a request is under way."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._waiting_since = self._clock.monotonic()
        self._watchman.watch(self)
        if len(self.connections) > self._watchman.max_connections:
            self._refuse(TOO_MANY)

    def data_received(self, data: bytes) -> None:
        while data and not self.transport.is_closing():
            if self._body_left:
                piece, data = data[: self._body_left], data[self._body_left :]
                self._body_left -= len(piece)
                super().data_received(piece)
            elif self._in_chunked_body:
                self._chunked_body_ended = False
                super().data_received(data)
                return
            else:
                data = self._take_head(data)

    def _take_head(self, data: bytes) -> bytes:
        """Collects a head and has it examined; returns the bytes that follow it."""
        collected = self._head + data if self._head else data
        end = collected.find(END)
        if end < 0:
            self._collect(collected)
            return b""
        end += len(END)
        verdict = examine(collected[:end])
        if isinstance(verdict, Refusal):
            self._refuse(verdict)
            return b""
        self._begin(collected[:end], verdict)
        return collected[end:]

    def _collect(self, collected: bytes) -> None:
        if len(collected) > MAX_HEAD_BYTES:
            self._refuse(TOO_LONG)
        elif _BARE_LINE_FEED.search(collected):
            self._refuse(NOT_HTTP)
        else:
            if not self._head:
                self._waiting_since = self._clock.monotonic()
            self._head = collected

    def _begin(self, head: bytes, framing: Framing) -> None:
        self._head = b""
        self._waiting_since = None
        super().data_received(head)
        self._body_left, self._in_chunked_body = framing

    def on_message_begin(self) -> None:
        if self._in_chunked_body or self._chunked_body_ended:
            # Something follows a chunked body in the same piece. No client does that; smugglers do.
            self.transport.abort()
            raise ValueError("a request behind a chunked body")
        super().on_message_begin()

    def on_message_complete(self) -> None:
        if self._in_chunked_body:
            self._in_chunked_body, self._chunked_body_ended = False, True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's, but the watchman ends idle connections."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._waiting_since is None:
            self._waiting_since = self._clock.monotonic()

    def sweep(self, now: float, *, header_timeout_s: float, keep_alive_s: float) -> None:
        """Closes the connection if it has waited for too long."""
        since = self._waiting_since
        if since is None or self.transport.is_closing():
            return
        if self._head and now - since > header_timeout_s:
            self._refuse(TOO_SLOW)
        elif not self._head and now - since > keep_alive_s:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """The parser's own refusals, in our envelope."""
        self._refuse(NOT_HTTP)

    def _refuse(self, refusal: Refusal) -> None:
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn declares it never None, and sets it so
        if cycle is None or cycle.response_complete:
            _, _, body = envelope(InvalidRequest(refusal.message, code="malformed_http"), request_id="")
            self.transport.write(
                b"%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
                % (STATUS_LINE[refusal.status], len(body), body)
            )
        # else: an earlier request of this connection is being answered; nothing may be put into the middle of that.
        self.transport.close()
