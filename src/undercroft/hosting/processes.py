"""Processes that may not be our children, and that no other must be taken for: pids are given again."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Final

from undercroft.hosting.types import Process

_STARTED: Final = 19
"""The place of `starttime` in /proc/PID/stat, counted behind the name (proc(5) calls it field 22)."""


def identify(pid: int) -> Process | None:
    """The process that has this pid now; None when none has, or it has ended and nobody has heard of it yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else Process(pid=pid, born=int(fields[_STARTED]), boot=boot())


def boot() -> str:
    """Which start of the machine this is."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Held:
    """A process, held by a descriptor: from here on its pid can mean no other."""

    def __init__(self, process: Process, descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._over: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def signal(self, number: signal.Signals) -> None:
        """Sends it, if the process is still there."""
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return

    async def ended(self) -> None:
        """Returns when it has ended. Any number may wait for it."""
        if self._over is None:
            self._over = asyncio.Event()
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._descriptor, self._found_ended)  # readable from its end on
        await self._over.wait()

    def _found_ended(self) -> None:
        assert self._over is not None
        self._over.set()
        self._stop_looking()

    def _stop_looking(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._descriptor)
            self._loop = None

    def close(self) -> None:
        self._stop_looking()
        os.close(self._descriptor)


def hold(process: Process) -> Held | None:
    """None when it has ended, whoever has its pid now."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    if identify(process.pid) != process:  # looked at after the descriptor was made: that one cannot change any more
        os.close(descriptor)
        return None
    return Held(process, descriptor)
