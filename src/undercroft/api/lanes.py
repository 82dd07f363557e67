"""A gateway process that serves some of the listening sockets it has, and changes which while it runs.

The sockets, called lanes, share one port (SO_REUSEPORT), and the kernel spreads new connections over them. Every
process of every version holds all lanes and accepts from those that are its own. So traffic moves between versions
lane by lane, and no lane is ever closed: whatever queues in one is served by whoever has it next.
"""

import asyncio
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import uvicorn

from undercroft.api.cycle import Cycle, Headers
from undercroft.api.figures import Figures, Tally
from undercroft.api.protocol import HttpProtocol
from undercroft.api.server import BACKLOG, Server, Service, config_of, watchman_of
from undercroft.api.shortcuts import HasFastPath
from undercroft.api.watchman import Watchman
from undercroft.settings.model import Settings

if TYPE_CHECKING:
    from uvicorn.server import ServerState

ANSWER_S = 10.0
"""How long a process may take to change its lanes."""


@dataclass(frozen=True, slots=True)
class Doors:
    """The lanes that a process inherited, and the Unix socket at which it is told what to do with them."""

    lanes: Sequence[socket.socket]
    path: Path


class DoorOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Serve these lanes and no others; None: as before."""

    lanes: tuple[int, ...] | None = None


class DoorReport(msgspec.Struct, frozen=True, kw_only=True):
    """The lanes that are served now, and the figures."""

    lanes: tuple[int, ...]
    figures: Figures


class WatchedCycle(Cycle):
    """Tells its connection when the answer begins."""

    __slots__ = ()

    def _head(self, status: int, headers: Headers) -> tuple[bytes, int, bool]:
        assert isinstance(self._connection, WatchedProtocol)
        self._connection.answer_begins(status)
        return super()._head(status, headers)


class WatchedProtocol(HttpProtocol):
    """A connection whose requests are counted; those through the side door (a Unix socket) are not."""

    cycle_type = WatchedCycle

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: "ServerState",
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        watchman: Watchman,
        tally: Tally,
        beside: HasFastPath | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop, watchman=watchman, beside=beside)
        self._tally = tally
        self._began: float | None = None
        """When the request under way came, until its answer begins."""

    def request_begins(self) -> None:
        if self.client is not None:
            self._tally.begin()
            self._began = self._clock.monotonic()

    def answer_begins(self, status: int) -> None:
        if self._began is not None:
            self._tally.answer(status, self._clock.monotonic() - self._began)
            self._began = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._began is not None:
            self._tally.leave()
            self._began = None
        super().connection_lost(exc)


class LanedServer(Server):
    """A server that opens and closes lanes as it is told."""

    def __init__(
        self, config: uvicorn.Config, application: Service, *, doors: Doors, tally: Tally, **rest: Any
    ) -> None:
        super().__init__(config, application, **rest)
        self._doors = doors
        self._tally = tally
        self._open: dict[int, asyncio.Server] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._doors.path.unlink(missing_ok=True)  # a predecessor's, that died
        control = await asyncio.start_unix_server(self._converse, str(self._doors.path))
        try:
            await super().startup(sockets)
        except BaseException:
            control.close()
            raise
        self.servers.append(control)

    async def serve_lanes(self, wanted: Collection[int]) -> None:
        """Accepts from these lanes and no others. Whoever is connected is asked to connect anew with the next answer,
        so that clients that stay connected are spread again too."""
        loop = asyncio.get_running_loop()
        changed = self._open.keys() ^ set(wanted)
        for number in sorted(changed - self._open.keys()):
            sock = self._doors.lanes[number].dup()
            server = await loop.create_server(self._connected, sock=sock, backlog=BACKLOG)
            self._open[number] = server
            self.servers.append(server)
        for number in sorted(changed - set(wanted)):
            server = self._open.pop(number)
            self.servers.remove(server)
            server.close()
        if changed:
            for connection in tuple(self.server_state.connections):
                assert isinstance(connection, HttpProtocol)
                connection.part()

    def _connected(self) -> asyncio.BaseProtocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.BaseProtocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            order = msgspec.json.decode(await reader.readline(), type=DoorOrder)
            if order.lanes is not None and not self.should_exit:
                await self.serve_lanes(order.lanes)
            figures = self._tally.figures(connections=len(self.server_state.connections))
            writer.write(msgspec.json.encode(DoorReport(lanes=tuple(sorted(self._open)), figures=figures)) + b"\n")
            await writer.drain()
        except (OSError, msgspec.DecodeError):  # whoever asked is gone, and a successor asks anew
            pass
        finally:
            writer.close()


def serve_lanes(
    application: Service,
    settings: Settings,
    side_door: socket.socket,
    doors: Doors,
    *,
    ready: Callable[[], None],
    lifeline: int | None,
) -> None:
    """As `serve`, behind a side door at first, which the kernel sends nobody to, until lanes are given to it."""
    watchman, tally = watchman_of(settings), Tally()
    config = config_of(application, partial(WatchedProtocol, watchman=watchman, tally=tally, beside=application))
    LanedServer(
        config,
        application,
        doors=doors,
        tally=tally,
        watchman=watchman,
        grace_s=settings.server.shutdown_grace_s,
        ready=ready,
        lifeline=lifeline,
    ).run(sockets=[side_door])


async def order_door(path: Path, order: DoorOrder) -> DoorReport:
    """Has the process behind `path` do it. Raises OSError, TimeoutError or msgspec.DecodeError when it cannot."""
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await asyncio.open_unix_connection(str(path))
        try:
            writer.write(msgspec.json.encode(order) + b"\n")
            return msgspec.json.decode(await reader.readline(), type=DoorReport)
        finally:
            writer.close()
