"""One HTTP request and its answer, over ASGI: what routes use instead of a framework's request object."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from undercroft.access.callers import NOBODY, Caller
from undercroft.api.cycle import EXTENSION, Cycle
from undercroft.errors import (
    ClientClosed,
    InvalidRequest,
    TooLarge,
    Unavailable,
    UndercroftError,
    UnsupportedEncoding,
    UpstreamTimedOut,
)
from undercroft.gateway.call import Trail
from undercroft.wire.duplicates import demand_unambiguous
from undercroft.wire.nesting import demand_shallow

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

OFF_LOOP_BYTES = 256 * 1024
"""Larger bodies are looked at in a thread: a million keys block the loop for half a second."""

WATCH_AFTER_S = 0.05
"""How long a call lasts before TaskWatch begins; shorter ones never pay for a task."""


class Exchange:
    """Reads the request, writes the answer, and knows when the client has gone."""

    __slots__ = (
        "_answered",
        "_cycle",
        "_headers",
        "_receive",
        "_send",
        "booked",
        "caller",
        "closing",
        "error_frame",
        "extra_headers",
        "id",
        "max_json_depth",
        "path_values",
        "peer",
        "scheme",
        "scope",
        "session",
        "started",
        "started_us",
        "trail",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, id: str, started: float, started_us: int, closing: bool
    ) -> None:
        self.scope = scope
        self.id = id
        self.started = started
        self.started_us = started_us
        self.closing = closing
        """The server is shutting down: the answer tells the client to open a new connection next time."""
        self.path_values: Mapping[str, str] = {}
        self.caller: Caller = NOBODY
        client = scope.get("client")
        self.peer: str = client[0] if client else ""
        """The client's address; behind trusted proxies, the one that they name (`api/forwarded.py`)."""
        self.scheme: str = scope.get("scheme", "http")
        self.extra_headers: Headers = ()
        """Go out with the answer, whatever it is."""
        self.session = ""
        """The cookie of who has signed in; empty for everybody else."""
        self.max_json_depth = 0
        """Bodies nested deeper are refused; 0: bodies are not looked into."""
        self.booked = False
        """The gateway's meter has taken over: it books the call, however it ends."""
        self.trail: Trail | None = None
        """Of the call, once there is one: an error says which release it comes of."""
        self.error_frame: Callable[[BaseException], bytes] | None = None
        """Set once a stream has begun: how an error is told inside it."""
        self._receive = receive
        self._send = send
        self._cycle: Cycle | None = scope["extensions"].get(EXTENSION) if "extensions" in scope else None
        """Our own server's way to answer, shorter than ASGI's; None under another server."""
        self._headers: dict[bytes, bytes] | None = None
        self._answered = False

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        """The path below where the application is mounted."""
        path, root = str(self.scope["path"]), str(self.scope.get("root_path", ""))
        return (path[len(root) :] or "/") if root and path.startswith(root) else path

    @property
    def query(self) -> bytes:
        return bytes(self.scope["query_string"])

    @property
    def answered(self) -> bool:
        """The status line is out: an error can no longer change it."""
        return self._answered

    def header(self, name: bytes) -> str:
        """A request header by its lower-case name; empty when absent."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        return self._headers.get(name, b"").decode("latin-1")

    def has_any(self, names: Iterable[bytes]) -> bool:
        """Whether at least one of these headers is there, by their lower-case names."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        return not self._headers.keys().isdisjoint(names)

    @property
    def credential(self) -> str:
        """What the caller identifies itself with: `Authorization: Bearer` or `x-api-key`."""
        return credential_of(self.header(b"authorization"), self.header(b"x-api-key"))

    async def body(self, *, limit: int, timeout_s: float) -> bytes:
        """The whole body: JSON that can be read in one way only. Raises InvalidRequest, UnsupportedEncoding, and
        TooLarge: before reading when the client announces more than `limit`."""
        self._demand_uncoded()
        announced = self.header(b"content-length")
        if announced.isdecimal() and int(announced) > limit:
            raise _too_large(limit)
        message = await self._receive()
        if not message.get("more_body"):
            body: bytes = message.get("body", b"")
            if message["type"] == "http.disconnect":
                raise ClientClosed("The client left before its request was complete.")
            if len(body) > limit:
                raise _too_large(limit)
        else:
            body = await self._rest_of_body(message["body"], limit=limit, timeout_s=timeout_s)
        if self.max_json_depth and body:
            if len(body) > OFF_LOOP_BYTES:
                await asyncio.to_thread(_demand_plain, body, depth=self.max_json_depth)
            else:
                _demand_plain(body, depth=self.max_json_depth)
        return body

    async def _rest_of_body(self, first: bytes, *, limit: int, timeout_s: float) -> bytes:
        body = bytearray(first)
        while True:
            if len(body) > limit:
                raise _too_large(limit)
            message = await self._next_piece(timeout_s)
            body += message.get("body", b"")
            if not message.get("more_body"):
                if len(body) > limit:
                    raise _too_large(limit)
                return bytes(body)

    async def pieces(self, *, limit: int, timeout_s: float, setting: str) -> AsyncGenerator[bytes, None]:
        """The body as it comes, for what is too large for memory. Raises as `body` does; `setting` sets the limit."""
        self._demand_uncoded()
        announced = self.header(b"content-length")
        if announced.isdecimal() and int(announced) > limit:
            raise _too_large(limit, setting)
        size, more = 0, True
        while more:
            message = await self._next_piece(timeout_s)
            piece, more = message.get("body", b""), bool(message.get("more_body"))
            size += len(piece)
            if size > limit:
                raise _too_large(limit, setting)
            if piece:
                yield piece

    def _demand_uncoded(self) -> None:
        coding = self.header(b"content-encoding").strip().lower()
        if coding and coding != "identity":
            raise UnsupportedEncoding(
                f"The request's body is encoded as '{coding[:40]}', which is not taken here.",
                hint="Send it as it is, without Content-Encoding.",
            )

    async def _next_piece(self, timeout_s: float) -> Message:
        try:
            async with asyncio.timeout(timeout_s):
                message = await self._receive()
        except TimeoutError as error:
            raise InvalidRequest(
                f"No more of the request's body came within {timeout_s:g} s.", code="request_timeout"
            ) from error
        if message["type"] == "http.disconnect":
            raise ClientClosed("The client left before its request was complete.")
        return message

    async def respond(
        self, body: bytes, *, status: int = 200, content_type: bytes = b"application/json", headers: Headers = ()
    ) -> None:
        """The whole answer at once."""
        lines = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *headers]
        cycle = self._cycle
        if cycle is not None:
            cycle.respond(status, self._with_identity(lines), body)
            self._answered = True
            if cycle.is_clogged:
                await cycle.drain()
            return
        await self.start(status, lines)
        await self._send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Status and headers; `write` and `finish` follow."""
        lines = self._with_identity(headers)
        self._answered = True
        if self._cycle is not None:
            self._cycle.begin(status, lines)
        else:
            await self._send({"type": "http.response.start", "status": status, "headers": lines})

    async def write(self, piece: bytes) -> None:
        """A piece of the body; returns when the client keeps up."""
        cycle = self._cycle
        if cycle is not None:
            cycle.write(piece)
            if cycle.is_clogged:
                await cycle.drain()
        else:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def finish(self, piece: bytes = b"") -> None:
        """The last piece of the body."""
        if self._cycle is not None:
            self._cycle.end(piece)
        else:
            await self._send({"type": "http.response.body", "body": piece})

    def _with_identity(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        headers += identity_of(self.id)
        if self.extra_headers:
            headers += self.extra_headers
        if self.closing:
            headers.append((b"connection", b"close"))
        return headers

    async def forward(
        self,
        application: Any,
        *,
        prefix: str,
        body: bytes | None = None,
        before: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        """Lets another ASGI application answer below `prefix`, with the request's id on its answer.

        `body` is the request's, where it was read already; `before` is told the answer's status before it goes out.
        """
        root = str(self.scope.get("root_path", ""))
        scope = {**self.scope, "root_path": root + prefix, "undercroft.request_id": self.id}
        unread = body

        async def receive() -> Message:
            nonlocal unread
            if unread is None:
                return await self._receive()
            taken, unread = unread, None
            return {"type": "http.request", "body": taken, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                if before is not None:
                    await before(message["status"])
                await self.start(message["status"], list(message.get("headers", ())))
            else:
                await self._send(message)

        await application(scope, receive, send)

    def watch(self, *, deadline: float, seconds: float, abandon: Callable[[UndercroftError], None]) -> "Watch":
        """Calls `abandon` and cancels the current task when the client leaves, or `deadline` (monotonic) has passed.

        `seconds` is the same limit as the caller knows it. The body must have been read. Use as `with …:`.
        """
        if self._cycle is not None:
            return CycleWatch(self._cycle, deadline=deadline, seconds=seconds, abandon=abandon)
        return TaskWatch(self._receive, seconds=seconds, abandon=abandon)


class Watch:
    """Cancels the task it was made in when nobody waits for its result any longer.

    The cancellation never leaves the block: the error it stands for is raised instead.
    """

    __slots__ = ("_abandon", "_reason", "_seconds", "_task")

    def __init__(self, *, seconds: float, abandon: Callable[[UndercroftError], None]) -> None:
        self._seconds = seconds
        self._abandon = abandon
        self._reason: UndercroftError | None = None

    def __enter__(self) -> None:
        self._task = self._current_task()
        self._begin()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._end()
        if self._reason is None:
            return
        cancelled_from_outside = self._task.uncancel() > 0
        if isinstance(error, asyncio.CancelledError) and not cancelled_from_outside:
            raise self._reason from None

    def _current_task(self) -> asyncio.Task[Any]:
        task = asyncio.current_task()
        assert task is not None, "a request is always handled in a task"
        return task

    def _begin(self) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        raise NotImplementedError

    def _left(self) -> None:
        self._cancel(ClientClosed("The client left before the answer was complete."))

    def _expired(self) -> None:
        self._cancel(too_late(self._seconds))

    def _cut(self) -> None:
        self._cancel(Unavailable("The server was stopped before the answer was complete.", code="interrupted"))

    def _cancel(self, reason: UndercroftError) -> None:
        if self._reason is None:
            self._reason = reason
            self._abandon(reason)
            self._task.cancel()


class CycleWatch(Watch):
    """Under our own server: the connection itself tells."""

    __slots__ = ("_cycle", "_deadline")

    def __init__(
        self, cycle: Cycle, *, deadline: float, seconds: float, abandon: Callable[[UndercroftError], None]
    ) -> None:
        super().__init__(seconds=seconds, abandon=abandon)
        self._cycle = cycle
        self._deadline = deadline

    def _current_task(self) -> asyncio.Task[Any]:
        return self._cycle.task or super()._current_task()

    def _begin(self) -> None:
        cycle = self._cycle
        cycle.deadline = self._deadline
        cycle.on_lost = self._left
        cycle.on_expired = self._expired
        cycle.on_cut = self._cut
        if cycle.is_lost:
            self._left()

    def _end(self) -> None:
        self._cycle.on_lost = self._cycle.on_expired = self._cycle.on_cut = None


class TaskWatch(Watch):
    """Under any other server: a task that waits for the client to leave, for calls that last long enough to need it."""

    __slots__ = ("_receive", "_timer", "_watcher")

    def __init__(self, receive: Receive, *, seconds: float, abandon: Callable[[UndercroftError], None]) -> None:
        super().__init__(seconds=seconds, abandon=abandon)
        self._receive = receive
        self._watcher: asyncio.Task[None] | None = None

    def _begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._start)

    def _start(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._seconds - WATCH_AFTER_S):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            self._expired()
        else:
            self._left()

    def _end(self) -> None:
        self._timer.cancel()
        if self._watcher is not None and not self._watcher.done():
            self._watcher.cancel()


def _demand_plain(body: bytes, *, depth: int) -> None:
    """Before any decoder: what one of them passes over, another reader may take."""
    demand_shallow(body, limit=depth)
    demand_unambiguous(body)


def credential_of(authorization: str, api_key: str) -> str:
    """What a caller identifies itself with, of the two headers' values."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return api_key.strip()


def identity_of(id: str) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    """The request's id, as both names of the header have it."""
    identity = id.encode()
    return (b"x-request-id", identity), (b"request-id", identity)


def too_late(seconds: float) -> UpstreamTimedOut:
    """The request's own time is up."""
    return UpstreamTimedOut(
        f"The call took longer than {seconds:g} s.",
        code="request_timeout",
        hint="Raise [server] request_timeout_s if answers may take longer.",
    )


def _too_large(limit: int, setting: str = "[server.limits] max_body_bytes") -> TooLarge:
    return TooLarge(f"The request's body is larger than {limit} bytes.", hint=f"{setting} sets this.")
