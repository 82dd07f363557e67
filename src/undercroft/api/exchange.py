"""One HTTP request and its answer, over ASGI: what routes use instead of a framework's request object."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from undercroft.access.doors import NOBODY, Caller
from undercroft.errors import ClientClosed, InvalidRequest, TooLarge, UndercroftError, UpstreamTimedOut

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

WATCH_AFTER_S = 0.05
"""A call longer than this gets a task that waits for the client to leave; shorter ones never pay for it."""


class Exchange:
    """Reads the request, writes the answer, and knows when the client has gone."""

    __slots__ = (
        "_answered",
        "_headers",
        "_receive",
        "_send",
        "booked",
        "caller",
        "closing",
        "error_frame",
        "id",
        "path_values",
        "scope",
        "started",
        "started_us",
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
        self.booked = False
        """The gateway's meter has taken over: it books the call, however it ends."""
        self.error_frame: Callable[[BaseException], bytes] | None = None
        """Set once a stream has begun: how an error is told inside it."""
        self._receive = receive
        self._send = send
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
    def peer(self) -> str:
        client = self.scope.get("client")
        return client[0] if client else ""

    @property
    def answered(self) -> bool:
        """The status line is out: an error can no longer change it."""
        return self._answered

    def header(self, name: bytes) -> str:
        """A request header by its lower-case name; empty when absent."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        return self._headers.get(name, b"").decode("latin-1")

    @property
    def credential(self) -> str:
        """What the caller identifies itself with: `Authorization: Bearer` or `x-api-key`."""
        scheme, _, token = self.header(b"authorization").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        return self.header(b"x-api-key").strip()

    async def body(self, *, limit: int, timeout_s: float) -> bytes:
        """The whole body. Raises TooLarge before reading when the client announces more than `limit`."""
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
            return body
        return await self._rest_of_body(message["body"], limit=limit, timeout_s=timeout_s)

    async def _rest_of_body(self, first: bytes, *, limit: int, timeout_s: float) -> bytes:
        body = bytearray(first)
        while True:
            if len(body) > limit:
                raise _too_large(limit)
            try:
                async with asyncio.timeout(timeout_s):
                    message = await self._receive()
            except TimeoutError as error:
                raise InvalidRequest(
                    f"No more of the request's body came within {timeout_s:g} s.", code="request_timeout"
                ) from error
            if message["type"] == "http.disconnect":
                raise ClientClosed("The client left before its request was complete.")
            body += message.get("body", b"")
            if not message.get("more_body"):
                if len(body) > limit:
                    raise _too_large(limit)
                return bytes(body)

    async def respond(
        self, body: bytes, *, status: int = 200, content_type: bytes = b"application/json", headers: Headers = ()
    ) -> None:
        """The whole answer at once."""
        await self.start(status, [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *headers])
        await self._send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Status and headers; `write` and `finish` follow."""
        identity = self.id.encode()
        headers += [(b"x-request-id", identity), (b"request-id", identity)]
        if self.closing:
            headers.append((b"connection", b"close"))
        self._answered = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def finish(self, piece: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": piece})

    async def forward(self, application: Any, *, prefix: str) -> None:
        """Lets another ASGI application answer below `prefix`, with the request's id on its answer."""
        root = str(self.scope.get("root_path", ""))
        scope = {**self.scope, "root_path": root + prefix, "undercroft.request_id": self.id}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                await self.start(message["status"], list(message.get("headers", ())))
            else:
                await self._send(message)

        await application(scope, self._receive, send)

    def watch(self, *, deadline_s: float, abandon: Callable[[UndercroftError], None]) -> "Watch":
        """Calls `abandon` and cancels the current task when the client leaves or `deadline_s` from now has passed.

        The body must have been read. Use as `with exchange.watch(…):`.
        """
        return Watch(self._receive, deadline_s=deadline_s, abandon=abandon)


class Watch:
    """Cancels the task it was made in when nobody waits for its result any longer.

    The cancellation never leaves the block: the error it stands for is raised instead.
    """

    def __init__(self, receive: Receive, *, deadline_s: float, abandon: Callable[[UndercroftError], None]) -> None:
        self._receive = receive
        self._deadline_s = deadline_s
        self._abandon = abandon
        self._watcher: asyncio.Task[None] | None = None
        self._reason: UndercroftError | None = None

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None, "a request is always handled in a task"
        self._task = task
        self._timer = self._loop.call_later(WATCH_AFTER_S, self._begin)

    def _begin(self) -> None:
        self._watcher = self._loop.create_task(self._wait())

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._deadline_s - WATCH_AFTER_S):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
            reason: UndercroftError = ClientClosed("The client left before the answer was complete.")
        except TimeoutError:
            reason = UpstreamTimedOut(
                f"The call took longer than {self._deadline_s:g} s.",
                code="request_timeout",
                hint="Raise [server] request_timeout_s if answers may take longer.",
            )
        self._reason = reason
        self._abandon(reason)
        self._task.cancel()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._timer.cancel()
        if self._watcher is not None and not self._watcher.done():
            self._watcher.cancel()
        if self._reason is None:
            return
        cancelled_from_outside = self._task.uncancel() > 0
        if isinstance(error, asyncio.CancelledError) and not cancelled_from_outside:
            raise self._reason from None


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The request's body is larger than {limit} bytes.", hint="[server.limits] max_body_bytes sets this."
    )
