"""Load over raw sockets, in an open loop: requests leave when they are due, whatever became of those before.

Latency counts from the moment a request was due, not from when it could be sent, so a server that stalls is not let
off the requests that it kept from being sent (coordinated omission).
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from msgspec import Struct

LATE_S: Final = 0.005
"""A request that leaves this much later than it was due says that the generator is the bottleneck."""
DRAIN_S: Final = 20.0
"""After the last arrival, what has not been answered for so long counts as failed."""


class Arrival(Struct, frozen=True):
    """A request to come: seconds from the start, and which kind it is."""

    due_s: float
    kind: int


@dataclass(slots=True)
class Outcome:
    """What one run saw. Seconds."""

    latencies_s: list[float] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    """Of each latency."""
    failures: int = 0
    late: int = 0
    """Requests that left later than LATE_S after they were due."""
    elapsed_s: float = 0.0

    @property
    def answers(self) -> int:
        return len(self.latencies_s)


Ended = Callable[[bool], None]
"""Hears whether a whole answer with status 200 came."""


class Connection(asyncio.Protocol):
    """One keep-alive connection: a request, its whole answer, the next request."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._end: int | None = None
        self._ended: Ended | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it always is one
        self._transport = transport

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, message: bytes, ended: Ended) -> None:
        """Sends a request; `ended` hears whether a whole answer with status 200 came."""
        self._ended = ended
        self._data, self._end = b"", None
        if self._transport is None:
            self._finish(is_whole=False)
        else:
            self._transport.write(message)

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        if self._end is None:
            at = self._data.find(b"\r\n\r\n")
            if at < 0:
                return
            mark = self._data[:at].lower().find(b"content-length:")
            if mark < 0:
                self.close()  # an answer whose end cannot be told is none
                return
            self._end = at + 4 + int(self._data[mark + 15 : at].split(b"\r\n", 1)[0])
        if len(self._data) >= self._end:
            self._finish(is_whole=self._data.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._finish(is_whole=False)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _finish(self, *, is_whole: bool) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(is_whole)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the load goes."""

    host: str
    port: int


class Generator:
    """Keeps connections open between runs, so that no run pays for another's handshakes."""

    def __init__(self, address: Address, messages: Sequence[bytes], *, drain_s: float = DRAIN_S) -> None:
        """`messages` are the requests, one for each kind."""
        self._drain_s = drain_s
        self._address = address
        self._messages = messages
        self._idle: deque[Connection] = deque()

    async def open_loop(self, arrivals: Sequence[Arrival]) -> Outcome:
        """Sends each request when it is due and waits for the last answer."""
        return await _OpenLoop(self, arrivals).run(self._drain_s)

    async def closed_loop(self, kinds: Sequence[int], *, at_once: int, seconds: float) -> Outcome:
        """`at_once` callers, each asking again as soon as it has its answer: what the server can do at most."""
        loop, outcome = asyncio.get_running_loop(), Outcome()
        start = loop.time()
        order = iter(range(10**12))

        async def caller() -> None:
            connection = self.idle() or await self.connect()
            while loop.time() < start + seconds:
                kind = kinds[next(order) % len(kinds)]
                answered: asyncio.Future[bool] = loop.create_future()
                began = loop.time()
                connection.ask(self._messages[kind], answered.set_result)
                if await answered:
                    outcome.latencies_s.append(loop.time() - began)
                    outcome.kinds.append(kind)
                else:
                    outcome.failures += 1
                    connection = await self.connect()
            self._idle.append(connection)

        await asyncio.gather(*(caller() for _ in range(at_once)))
        outcome.elapsed_s = loop.time() - start
        return outcome

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def idle(self) -> Connection | None:
        """A connection that is open and has nothing to do."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    def rest(self, connection: Connection) -> None:
        """Keeps it for the next request."""
        self._idle.append(connection)

    def message(self, kind: int) -> bytes:
        return self._messages[kind]

    async def connect(self) -> Connection:
        """Another connection. Raises OSError."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._address.host, self._address.port)
        return connection


class _OpenLoop:
    """One run: what is due, what is under way, and what came of it."""

    def __init__(self, generator: Generator, arrivals: Sequence[Arrival]) -> None:
        self._generator, self._arrivals = generator, arrivals
        self._loop = asyncio.get_running_loop()
        self._outcome = Outcome()
        self._pending = len(arrivals)
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._connecting: set[asyncio.Task[None]] = set()
        self._start = self._loop.time() + 0.05

    async def run(self, drain_s: float) -> Outcome:
        if self._arrivals:
            self._leave(0)
            try:
                async with asyncio.timeout(self._arrivals[-1].due_s + drain_s):
                    await self._over
            except TimeoutError:  # which has cancelled `_over`: later answers change nothing
                self._outcome.failures += self._pending
        self._outcome.elapsed_s = self._loop.time() - self._start
        return self._outcome

    def _leave(self, place: int) -> None:
        """Sends everything that is due, and comes back for the next."""
        loop = self._loop
        while place < len(self._arrivals):
            arrival = self._arrivals[place]
            due = self._start + arrival.due_s
            if due > loop.time():
                loop.call_at(due, self._leave, place)
                return
            self._outcome.late += loop.time() - due > LATE_S
            connection = self._generator.idle()
            if connection is not None:
                self._ask(connection, due, arrival.kind)
            else:
                task = loop.create_task(self._connect(due, arrival.kind))
                self._connecting.add(task)
                task.add_done_callback(self._connecting.discard)
            place += 1

    def _ask(self, connection: Connection, due: float, kind: int) -> None:
        connection.ask(self._generator.message(kind), lambda is_whole: self._ended(due, kind, connection, is_whole))

    async def _connect(self, due: float, kind: int) -> None:
        try:
            connection = await self._generator.connect()
        except OSError:
            self._count_failure()
        else:
            self._ask(connection, due, kind)

    def _ended(self, due: float, kind: int, connection: Connection, is_whole: bool) -> None:
        if self._over.done():
            connection.close()
        elif is_whole:
            self._outcome.latencies_s.append(self._loop.time() - due)
            self._outcome.kinds.append(kind)
            self._generator.rest(connection)
            self._count()
        else:
            self._count_failure()

    def _count_failure(self) -> None:
        self._outcome.failures += 1
        self._count()

    def _count(self) -> None:
        self._pending -= 1
        if self._pending == 0 and not self._over.done():
            self._over.set_result(None)


def poisson(rate: float, seconds: float, kinds: Sequence[int], rng: random.Random) -> list[Arrival]:
    """Arrivals at random, `rate` a second, each of a kind drawn from `kinds`."""
    found, due = [], rng.expovariate(rate)
    while due < seconds:
        found.append(Arrival(due, kinds[int(rng.random() * len(kinds))]))
        due += rng.expovariate(rate)
    return found


def replayed(
    moments_s: Sequence[float], rate: float, seconds: float, kinds: Sequence[int], rng: random.Random
) -> list[Arrival]:
    """Recorded arrivals, in their own order and rhythm, sped up or slowed down to `rate` a second and repeated."""
    gaps = [later - earlier for earlier, later in pairwise(moments_s)]
    scale = len(gaps) / rate / sum(gaps)
    found: list[Arrival] = []
    due, place = 0.0, 0
    while True:
        due += gaps[place % len(gaps)] * scale
        if due >= seconds:
            return found
        found.append(Arrival(due, kinds[int(rng.random() * len(kinds))]))
        place += 1
