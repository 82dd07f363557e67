"""Several gateway processes behind one port: keeps the sockets, replaces who dies, stops all in order.

On Linux each worker slot has a SO_REUSEPORT socket of its own, all opened here before any worker starts: one shared
socket was badly uneven when measured (1300 to 1900 of 3200 requests, 200 to 3000 in another trial). A replaced worker
gets its predecessor's socket, so what queued in it is served. Elsewhere all share one socket.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from undercroft.api.binding import bind
from undercroft.api.hangup import Terminal
from undercroft.telemetry.logs import get_logger

MOST_FAILED_STARTS = 5
"""Starts in a row that may end before the worker was ready; then something is wrong that another start won't mend."""
STEADY_AFTER_S = 10.0
"""A worker that dies younger than this is likely to die again."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
KILL_AFTER_S = 5.0
"""Beyond the workers' own grace, before they are killed."""
BACKLOG = 2048
READY = b"\n"
"""What a child writes to its status pipe when it is ready; anything else is why it could not start."""


def open_sockets(host: str, port: int, count: int) -> list[socket.socket]:
    """A listening socket a worker. Raises PortTaken as `bind` does."""
    first = bind(host, port)
    if not hasattr(socket, "SO_REUSEPORT") or sys.platform != "linux":
        first.listen(BACKLOG)
        return [first] * count
    port = first.getsockname()[1]
    first.close()  # it only found out whether the port is free: SO_REUSEPORT would have shared it without a word
    sockets = [bind(host, port, shares=True) for _ in range(count)]
    for sock in sockets:
        sock.listen(BACKLOG)
    return sockets


def pause_after(short_lives: int, *, first_s: float = FIRST_PAUSE_S) -> float:
    """Seconds before the next start: at once after a worker that had been steady, then doubling."""
    doublings = min(short_lives - 1, 10)  # of thousands, no float holds the result
    return min(first_s * 2**doublings, LONGEST_PAUSE_S) if short_lives else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Child:
    """What a slot runs, and the socket it inherits."""

    name: str
    command: Sequence[str]
    listener: socket.socket | None = None
    serves_others: bool = False
    """It is told to stop when the others are gone."""
    lanes: Sequence[socket.socket] = ()
    """Further listening sockets that it inherits; they stay open here, for others have them too."""


@dataclass(frozen=True, slots=True)
class Life:
    """What became of one process of a child."""

    was_ready: bool
    end: str
    """Its last words, or how it was ended."""
    lasted_s: float


class Supervisor:
    """Runs children until told to stop.

    A child says that it is ready, or why it cannot be, by writing to the descriptor after `--status`, and ends when
    the one after `--lifeline` closes: nobody outlives the supervisor, however it died.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        grace_s: float,
        kill_after_s: float = KILL_AFTER_S,
        first_pause_s: float = FIRST_PAUSE_S,
        on_ready: Callable[[int], None] = lambda _: None,
        on_hang_up: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_ready` learns the pid of each process that has become ready; `on_hang_up` is called at SIGHUP."""
        self._children = children
        self._patience_s = grace_s + kill_after_s
        self._first_pause_s = first_pause_s
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._serving: set[int] = set()
        self._on_ready = on_ready
        self._on_hang_up = on_hang_up
        self._terminal = Terminal()
        self._ready: dict[str, asyncio.Event] = {child.name: asyncio.Event() for child in children}
        self._stopping = asyncio.Event()
        self.deaths = 0
        """Processes that ended though nobody had told them to."""
        self._hurried = False
        self._failure = ""
        self._logger = get_logger("undercroft.supervisor")

    async def all_ready(self) -> bool:
        """Waits until every child has been ready once; False when it is to stop instead."""

        async def everyone() -> None:
            for event in self._ready.values():
                await event.wait()

        ready, stopping = asyncio.create_task(everyone()), asyncio.create_task(self._stopping.wait())
        done, left = await asyncio.wait((ready, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        return ready in done

    async def run(self) -> str:
        """Returns when all have ended: why it gave up, or nothing when it was told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        lifeline, keep_alive = os.pipe()
        keepers = {child: asyncio.create_task(self._keep(child, lifeline)) for child in self._children}
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            # A keeper that ends before it is time to has given up.
            await asyncio.wait((stopping, *keepers.values()), return_when=asyncio.FIRST_COMPLETED)
            self._stopping.set()
            for serves_others in (False, True):
                these = {child: task for child, task in keepers.items() if child.serves_others is serves_others}
                if these:
                    await self._end(these)
        finally:
            stopping.cancel()
            os.close(keep_alive)
            os.close(lifeline)
        for keeper in keepers.values():
            keeper.result()
        return self._failure

    @property
    def serving(self) -> frozenset[int]:
        """The pids of those that are ready and have not ended: a signal to another one could kill it."""
        return frozenset(self._serving)

    def _hung_up(self) -> None:
        if not self._terminal.is_gone():
            self._on_hang_up()
        elif not self._stopping.is_set():
            self.stop()

    def stop(self) -> None:
        """Asks all children to wind down; the second time, ends them now."""
        self._hurried = self._stopping.is_set()
        self._stopping.set()
        if self._hurried:
            for name in self._processes:
                self._send(name, signal.SIGKILL)

    async def _end(self, keepers: Mapping[Child, asyncio.Task[None]]) -> None:
        """Tells children to stop and waits until they have."""
        for child in keepers:
            if child.listener is not None:
                # As long as this process held it too, clients would queue behind a door that no worker opens again.
                child.listener.close()
            # Ctrl-C's signal spares who serves the others, which are gone, the wait for balancers to look elsewhere.
            self._send(child.name, signal.SIGINT if child.serves_others else signal.SIGTERM)
        _, late = await asyncio.wait(keepers.values(), timeout=self._patience_s)
        if late:
            for child in keepers:
                self._send(child.name, signal.SIGKILL)
            await asyncio.wait(late)

    def _send(self, name: str, number: signal.Signals) -> None:
        if name in self._processes:
            with contextlib.suppress(ProcessLookupError):
                self._processes[name].send_signal(number)

    async def _keep(self, child: Child, lifeline: int) -> None:
        """Starts a child, again and again, until it is time to stop or starting it is of no use."""
        failed_starts = short_lives = 0
        while not self._stopping.is_set():
            life = await self._live(child, lifeline)
            if self._stopping.is_set():
                return
            self.deaths += 1
            self._logger.warning("worker_died", worker=child.name, reason=life.end, was_ready=life.was_ready)
            failed_starts = 0 if life.was_ready else failed_starts + 1
            short_lives = short_lives + 1 if life.lasted_s < STEADY_AFTER_S else 0
            if failed_starts >= MOST_FAILED_STARTS:
                self._failure = f"{child.name} failed to start {failed_starts} times in a row: {life.end}"
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_after(short_lives, first_s=self._first_pause_s)):
                    await self._stopping.wait()

    async def _live(self, child: Child, lifeline: int) -> Life:
        """One life of a child, from its start to its end."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        told, status = os.pipe()
        own = () if child.listener is None else (child.listener,)
        inherited = tuple(sock.fileno() for sock in (*own, *child.lanes))
        try:
            process = await asyncio.create_subprocess_exec(
                *child.command,
                "--lifeline",
                str(lifeline),
                "--status",
                str(status),
                pass_fds=(lifeline, status, *inherited),
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which passes it on in order
            )
        except OSError as error:
            os.close(told)
            return Life(was_ready=False, end=f"{child.command[0]}: {error.strerror}", lasted_s=0)
        finally:
            os.close(status)
        self._processes[child.name] = process
        if self._stopping.is_set():  # while it was being started
            self._send(child.name, signal.SIGKILL if self._hurried else signal.SIGTERM)
        said = await self._hear(child, told)
        if said is None:
            self._serving.add(process.pid)
            self._on_ready(process.pid)
        code = await process.wait()
        del self._processes[child.name]
        self._serving.discard(process.pid)
        end = said or (f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}")
        return Life(was_ready=said is None, end=end, lasted_s=loop.time() - began)

    async def _hear(self, child: Child, told: int) -> str | None:
        """None as soon as the child is ready; else its last words, when it has ended."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(told, "rb", buffering=0)
        )
        try:
            said = await reader.read(1)
            if said != READY:
                return (said + await reader.read()).decode("utf-8", "replace")
        finally:
            transport.close()
        self._ready[child.name].set()
        self._logger.debug("worker_ready", worker=child.name)
        return None
