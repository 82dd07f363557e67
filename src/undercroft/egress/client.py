"""The one outbound HTTP client: HTTP/1.1 over kept-open connections, with limits on everything that can take long."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from undercroft.clock import Clock
from undercroft.egress.connection import Connection, Stale, Taker
from undercroft.egress.guard import Guard
from undercroft.egress.http1 import request_below
from undercroft.egress.origin import Origin
from undercroft.egress.pool import Pool
from undercroft.egress.response import Response
from undercroft.errors import AddressRefused, Unavailable, UpstreamUnreachable

_TICK_S: Final = 0.1
_OURS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Limits(Protocol):
    """What the client takes of the settings' `[egress]`."""

    @property
    def max_connections(self) -> int: ...
    @property
    def max_waiting(self) -> int: ...
    @property
    def connect_timeout_s(self) -> float: ...
    @property
    def first_byte_timeout_s(self) -> float: ...
    @property
    def idle_timeout_s(self) -> float: ...
    @property
    def keep_alive_s(self) -> float: ...
    @property
    def ca_file(self) -> Path | None: ...


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """What the calls to one model wait for at most."""

    connect_s: float
    first_byte_s: float
    idle_s: float


class Client:
    """Made and closed inside the running loop. One for the whole process, so that connections are shared."""

    def __init__(
        self,
        *,
        limits: Limits,
        clock: Clock,
        ssl_context: ssl.SSLContext | None = None,
        guard: Guard | None = None,
    ) -> None:
        """With a `guard`, only addresses that it admits are connected to."""
        self._limits = limits
        self._guard = guard
        self._first_byte_s = limits.first_byte_timeout_s
        self._idle_s = limits.idle_timeout_s
        self._clock = clock
        self._ssl_context = ssl_context
        self._pools: dict[Origin, Pool] = {}
        self._connections: set[Connection] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._closing = ""
        """Why there are no more connections."""
        self._emptied = asyncio.Event()

    async def send(
        self,
        origin: Origin,
        head: bytes,
        body: bytes,
        *,
        first_byte_s: float | None = None,
        idle_s: float | None = None,
        connect_s: float | None = None,
        begun: Response | None = None,
    ) -> Response:
        """Sends `head` (from `http1.request_head`) and `body`, and returns when the answer's head is there.

        `begun` is the answer to the very same that `begin` has sent already: then it is only waited for. Raises
        UpstreamUnreachable, UpstreamTimedOut, UpstreamGarbled and Unavailable, out of the response too.
        A call that is cancelled takes its connection with it.
        """
        if first_byte_s is None:
            first_byte_s = self._first_byte_s
        if idle_s is None:
            idle_s = self._idle_s
        message = (b"%b%d\r\n\r\n" % (head, len(body)), body)
        pool = self._pools.get(origin) or self._new_pool(origin)
        try:
            if begun is not None:
                return await begun.begun()
            connection = pool.take() or await pool.acquire(wait_s=first_byte_s, connect_s=connect_s)
            return await connection.send(message, first_byte_s=first_byte_s, idle_s=idle_s).begun()
        except Stale:
            # The upstream closed the kept-open connection while the request was on its way. Once more, on a new one:
            # the other idle ones are likely to be as old.
            connection = await pool.acquire(wait_s=first_byte_s, connect_s=connect_s)
            return await connection.send(message, first_byte_s=first_byte_s, idle_s=idle_s).begun()

    def has_idle(self, origin: Origin) -> bool:
        """Whether `begin` would find a connection."""
        pool = self._pools.get(origin)
        return pool is not None and pool.has_idle

    def begin(
        self,
        origin: Origin,
        head: bytes,
        body: bytes,
        *,
        first_byte_s: float | None = None,
        idle_s: float | None = None,
    ) -> Response:
        """Sends at once on an idle connection, which `has_idle` said there is. The answer is still to come; what it
        becomes is the caller's to find out, if need be by `send(…, begun=…)`, which also sends once more where that
        connection turns out to have been closed."""
        connection = self._pools[origin].take()
        assert connection is not None, "has_idle was asked"
        return connection.send(
            (b"%b%d\r\n\r\n" % (head, len(body)), body),
            first_byte_s=self._first_byte_s if first_byte_s is None else first_byte_s,
            idle_s=self._idle_s if idle_s is None else idle_s,
        )

    def passage(self, origin: Origin, head: bytes) -> "Passage | None":
        """A way to send the same head with many bodies; None before there is any connection."""
        pool = self._pools.get(origin)
        return None if pool is None else Passage(pool, lambda: head, self._first_byte_s, self._idle_s)

    def within(self, limits: "TimeLimits") -> "Client":
        """The same connections under other time limits, for whoever is given this instead."""
        return _Lent(self, limits)

    def filling(self, blank: str, secret: Callable[[], str]) -> "Client":
        """The same connections for somebody whose heads hold `blank` where a secret belongs, which is asked for each
        time: what is kept in memory between calls does not hold it. It may raise."""
        return _Filling(self, blank, secret)

    async def close(self, reason: str = "undercroft is shutting down.") -> None:
        """Cuts off what is under way, whose callers are told the reason, and closes every connection."""
        self._closing = reason
        for connection in tuple(self._connections):
            connection.fail(Unavailable(reason))
        if self._connections:
            await self._emptied.wait()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)

    def _new_pool(self, origin: Origin) -> Pool:
        async def dial(pool: Pool, connect_s: float | None) -> Connection:
            return await self._dial(origin, pool, connect_s)

        limits = self._limits
        pool = self._pools[origin] = Pool(
            name=str(origin),
            dial=dial,
            forget=self._forget,
            max_connections=limits.max_connections,
            max_waiting=limits.max_waiting,
        )
        return pool

    async def _dial(self, origin: Origin, pool: Pool, connect_s: float | None) -> Connection:
        """Opens a connection: the only place that does, so that a guard on addresses needs no other."""
        if self._closing:
            raise Unavailable(self._closing)
        loop = asyncio.get_running_loop()

        def protocol() -> Connection:
            return Connection(name=str(origin), keep_alive_s=self._limits.keep_alive_s, loop=loop)

        connection: Connection
        tls = self._tls() if origin.scheme == "https" else None
        limit_s = self._limits.connect_timeout_s if connect_s is None else connect_s
        try:
            async with asyncio.timeout(limit_s):
                if self._guard is not None:
                    connection = await self._dial_admitted(self._guard, origin, protocol, tls)
                elif origin.scheme == "unix":
                    _, connection = await loop.create_unix_connection(protocol, origin.host)
                else:
                    _, connection = await loop.create_connection(protocol, origin.host, origin.port, ssl=tls)
        except OSError as error:
            raise connection_failure(error, str(origin), limit_s) from error
        if not connection.is_open:
            raise UpstreamUnreachable(f"{origin} closed the connection as soon as it was made.")
        connection.owner = pool
        self._connections.add(connection)
        if self._ticker is None:
            self._ticker = loop.create_task(self._tick())
        return connection

    @staticmethod
    async def _dial_admitted(
        guard: Guard, origin: Origin, protocol: Callable[[], Connection], tls: ssl.SSLContext | None
    ) -> Connection:
        """Connects to an address that was judged, and not to the name, which may mean another one by now."""
        if origin.scheme == "unix":
            raise AddressRefused("This URL may not be called. It takes https.", param="url")
        failure: OSError | None = None
        for address in await guard.admit(origin):
            named = origin.host if tls is not None else None
            connecting = asyncio.get_running_loop().create_connection(
                protocol, address, origin.port, ssl=tls, server_hostname=named
            )
            try:
                _, connection = await connecting
            except OSError as error:
                failure = error
            else:
                return connection
        assert failure is not None, "a guard admits at least one"
        raise failure

    def _tls(self) -> ssl.SSLContext:
        """Made at first use: reading the system's certificates takes tens of milliseconds."""
        if self._ssl_context is None:
            context = ssl.create_default_context()
            if (ca_file := self._limits.ca_file) is not None:
                try:
                    context.load_verify_locations(ca_file)
                except OSError as error:
                    raise Unavailable(
                        f"The certificates in {ca_file} cannot be read: {error.strerror or error}.",
                        hint="[egress] ca_file names a file in PEM format.",
                    ) from error
            self._ssl_context = context
        return self._ssl_context

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._closing and not self._connections:
            self._emptied.set()

    async def _tick(self) -> None:
        """Finds the connections that were silent for too long, all with one timer.

        A deadline counts when it had passed at the tick before: after a stall of this process, what already waits in
        the sockets is read first.
        """
        while self._connections:
            before = self._clock.monotonic()
            await self._clock.sleep(_TICK_S)
            now = self._clock.monotonic()
            late = []
            for connection in self._connections:
                if connection.heard:
                    connection.heard = False
                    connection.deadline = now + connection.patience_s
                elif connection.deadline <= before:
                    late.append(connection)
            for connection in late:
                connection.expire()
        self._ticker = None


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """A way to an origin for requests of which only the body differs."""

    pool: Pool
    head: Callable[[], bytes]
    """Up to `content-length: `; asked for each time, since it may hold a secret."""
    first_byte_s: float
    idle_s: float

    def send(self, body: bytes, traceparent: str, taker: Taker) -> Connection:
        """Sends it at once, on an idle connection (`pool.has_idle`), below the span that is named, if one is."""
        message = request_below(self.head(), traceparent, body)
        connection = self.pool.take()
        assert connection is not None, "has_idle was asked"
        connection.pass_on(message, taker, first_byte_s=self.first_byte_s, idle_s=self.idle_s)
        return connection


class _Lent(Client):
    """Somebody else's connections: only the time limits are its own, where it has any."""

    def __init__(self, client: Client, limits: TimeLimits | None = None) -> None:
        self._client = client
        self._within = limits

    def send(
        self,
        origin: Origin,
        head: bytes,
        body: bytes,
        *,
        first_byte_s: float | None = None,
        idle_s: float | None = None,
        connect_s: float | None = None,
        begun: Response | None = None,
    ) -> Coroutine[Any, Any, Response]:
        if (limits := self._within) is not None:
            first_byte_s = limits.first_byte_s if first_byte_s is None else first_byte_s
            idle_s = limits.idle_s if idle_s is None else idle_s
            connect_s = limits.connect_s if connect_s is None else connect_s
        return self._client.send(
            origin,
            self._filled(head),
            body,
            first_byte_s=first_byte_s,
            idle_s=idle_s,
            connect_s=connect_s,
            begun=begun,
        )

    def has_idle(self, origin: Origin) -> bool:
        return self._client.has_idle(origin)

    def begin(
        self,
        origin: Origin,
        head: bytes,
        body: bytes,
        *,
        first_byte_s: float | None = None,
        idle_s: float | None = None,
    ) -> Response:
        if (limits := self._within) is not None:
            first_byte_s = limits.first_byte_s if first_byte_s is None else first_byte_s
            idle_s = limits.idle_s if idle_s is None else idle_s
        return self._client.begin(origin, self._filled(head), body, first_byte_s=first_byte_s, idle_s=idle_s)

    def passage(self, origin: Origin, head: bytes) -> Passage | None:
        passage = self._client.passage(origin, head)
        if passage is None:
            return None
        limits = self._within or passage
        return Passage(passage.pool, lambda: self._filled(passage.head()), limits.first_byte_s, limits.idle_s)

    def _filled(self, head: bytes) -> bytes:
        return head

    def within(self, limits: TimeLimits) -> Client:
        return _Lent(self._client, limits)

    async def close(self, reason: str = "") -> None:
        """The owner closes."""


class _Filling(_Lent):
    """The same with a secret of its own."""

    def __init__(self, client: Client, blank: str, secret: Callable[[], str]) -> None:
        super().__init__(client)
        self._blank = blank.encode()
        self._secret = secret

    def _filled(self, head: bytes) -> bytes:
        return head.replace(self._blank, self._secret().encode())

    def within(self, limits: TimeLimits) -> Client:
        return _Filling(self._client.within(limits), self._blank.decode(), self._secret)


def connection_failure(error: OSError, name: str, limit_s: float) -> UpstreamUnreachable | Unavailable:
    """What it means that no connection came about."""
    if error.errno in _OURS:
        return Unavailable(
            f"No connection to {name}: {os.strerror(error.errno)}.", hint="Raise the limit on open files (ulimit -n)."
        )
    if isinstance(error, TimeoutError):
        return UpstreamUnreachable(f"No connection to {name} within {limit_s:g} s.")
    if isinstance(error, ssl.SSLCertVerificationError):
        return UpstreamUnreachable(
            f"The certificate of {name} is not to be trusted: {error.verify_message}.",
            hint="[egress] ca_file names certificates to trust besides the system's.",
        )
    reason = error.strerror or str(error)
    if error.errno is not None and not isinstance(error, socket.gaierror | ssl.SSLError):
        reason = os.strerror(error.errno)  # asyncio writes "Connect call failed" where the system says why
    return UpstreamUnreachable(f"No connection to {name}: {reason}.")
