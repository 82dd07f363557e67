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
from collections.abc import Sequence
from dataclasses import dataclass

from undercroft.api.binding import bind
from undercroft.telemetry.logs import get_logger

MOST_FAILED_STARTS = 5
"""Starts in a row that may end before the worker was ready; then something is wrong that another start won't mend."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
KILL_AFTER_S = 5.0
"""Beyond the workers' own grace, before they are killed."""
BACKLOG = 2048


def open_sockets(host: str, port: int, count: int) -> list[socket.socket]:
    """A listening socket a worker. Raises PortTaken as `bind` does."""
    first = bind(host, port)
    if not hasattr(socket, "SO_REUSEPORT") or sys.platform != "linux":
        first.listen(BACKLOG)
        return [first] * count
    address, family = first.getsockname(), first.family
    first.close()  # it only found out whether the port is free: SO_REUSEPORT would have shared it without a word
    sockets = []
    for _ in range(count):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sockets.append(sock)
    return sockets


def pause_after(failed_starts: int) -> float:
    """Seconds before the next start: at once after a worker that had been ready, then doubling."""
    return min(FIRST_PAUSE_S * 2 ** (failed_starts - 1), LONGEST_PAUSE_S) if failed_starts else 0.0


@dataclass(frozen=True, slots=True)
class Child:
    """What a slot runs: the command, and the descriptors it inherits besides those of the supervisor's own."""

    name: str
    command: Sequence[str]
    descriptors: tuple[int, ...] = ()


class Supervisor:
    """Runs children until told to stop; `run` returns the exit code.

    A child says that it is ready by writing to the descriptor after `--status`, and ends when the one after
    `--lifeline` closes: nobody outlives the supervisor, however it died.
    """

    def __init__(self, children: Sequence[Child], *, grace_s: float) -> None:
        self._children = children
        self._grace_s = grace_s
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._ready: dict[str, asyncio.Event] = {child.name: asyncio.Event() for child in children}
        self._stopping = asyncio.Event()
        self._failure = ""
        self._logger = get_logger("undercroft.supervisor")

    async def all_ready(self) -> bool:
        """Waits until every child has been ready once; False when it is to stop instead."""

        async def everyone() -> None:
            for event in self._ready.values():
                await event.wait()

        ready, stopping = asyncio.create_task(everyone()), asyncio.create_task(self._stopped())
        tasks: set[asyncio.Task[None]] = {ready, stopping}
        done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        return ready in done

    async def _stopped(self) -> None:
        await self._stopping.wait()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        lifeline, keep_alive = os.pipe()
        try:
            keepers = [asyncio.create_task(self._keep(child, lifeline)) for child in self._children]
            await self._stopping.wait()
            await self._end(keepers)
        finally:
            os.close(keep_alive)
            os.close(lifeline)
        if self._failure:
            self._logger.error("supervisor_gave_up", reason=self._failure)
            return 1
        return 0

    def stop(self) -> None:
        """Asks all children to wind down; the second time, ends them now."""
        number = signal.SIGKILL if self._stopping.is_set() else signal.SIGTERM
        self._stopping.set()
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, child: Child, lifeline: int) -> None:
        failed_starts = 0
        while not self._stopping.is_set():
            was_ready, code = await self._live(child, lifeline)
            if self._stopping.is_set():
                return
            failed_starts = 0 if was_ready else failed_starts + 1
            self._logger.warning("worker_died", worker=child.name, exit_code=code, was_ready=was_ready)
            if failed_starts >= MOST_FAILED_STARTS:
                self._failure = f"{child.name} ended {failed_starts} times before it was ready (last exit code {code})"
                self.stop()
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_after(failed_starts)):
                    await self._stopping.wait()

    async def _live(self, child: Child, lifeline: int) -> tuple[bool, int]:
        """One life of a child: whether it was ever ready, and how it ended."""
        told, status = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *child.command,
                "--lifeline",
                str(lifeline),
                "--status",
                str(status),
                pass_fds=(lifeline, status, *child.descriptors),
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which passes it on in order
            )
        finally:
            os.close(status)
        self._processes[child.name] = process
        try:
            is_ready = await self._hear(told)
            if is_ready:
                self._ready[child.name].set()
                self._logger.debug("worker_ready", worker=child.name, pid=process.pid)
            return is_ready, await process.wait()
        finally:
            del self._processes[child.name]

    async def _hear(self, told: int) -> bool:
        """True when the child says it is ready, False when it ends without a word."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(told, "rb", buffering=0)
        )
        try:
            return bool(await reader.read(1))
        finally:
            transport.close()

    async def _end(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        _, late = await asyncio.wait(keepers, timeout=self._grace_s + KILL_AFTER_S)
        if late:
            self.stop()
            await asyncio.wait(late)
