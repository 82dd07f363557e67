"""How the processes of one server agree on a configuration: the supervisor reads it once, and hands it out.

A line of JSON asks, a line of JSON answers, over a Unix socket in a folder that only this user may enter.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from undercroft.errors import Unavailable

LONGEST_LINE_BYTES = 64 * 1024 * 1024
"""Settings come as one line; the file they were read from is bounded already."""
RELOAD_LIMIT_S = 60.0


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor wants its processes to work with."""

    edition: int
    """Counts every change to this state: a process reports which one it has seen to."""
    generation: int
    settings: msgspec.Raw
    """As `settings/transfer.py` packs them."""
    refusal: str = ""
    """Why the last configuration that was read is not in force."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """`start`: what to start with. `news`: what to change to; a Report follows. `reload`: all are to change."""

    about: str
    pid: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the news."""

    edition: int
    failure: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a reload; without a refusal, all processes work with the new configuration."""

    refusal: str = ""


def fetch_to_start(path: Path) -> State:
    """The state to start with. Raises Unavailable when the supervisor is gone."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(RELOAD_LIMIT_S)
            sock.connect(str(path))
            sock.sendall(line(Question(about="start", pid=os.getpid())))
            with sock.makefile("rb") as file:
                return msgspec.json.decode(file.readline(), type=State)
    except (OSError, msgspec.DecodeError) as error:
        raise _no_answer() from error


class Wire:
    """A conversation with the supervisor."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, pid: int) -> None:
        self._reader = reader
        self._writer = writer
        self._pid = pid

    async def news(self) -> State:
        """What the state is now."""
        self._writer.write(line(Question(about="news", pid=self._pid)))
        return msgspec.json.decode(await self._reader.readline(), type=State)

    async def report(self, report: Report) -> None:
        self._writer.write(line(report))
        await self._writer.drain()

    async def reload(self) -> Outcome:
        """Returns when all processes have been told, and have answered."""
        self._writer.write(line(Question(about="reload", pid=self._pid)))
        async with asyncio.timeout(RELOAD_LIMIT_S):
            return msgspec.json.decode(await self._reader.readline(), type=Outcome)


@contextlib.asynccontextmanager
async def talking_to_supervisor(path: Path, *, pid: int | None = None) -> AsyncIterator[Wire]:
    """As the process `pid`, by default this one. Raises Unavailable when the supervisor does not answer."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(path), limit=LONGEST_LINE_BYTES)
        try:
            yield Wire(reader, writer, pid=os.getpid() if pid is None else pid)
        finally:
            writer.close()
    except (OSError, TimeoutError, msgspec.DecodeError) as error:
        raise _no_answer() from error


def _no_answer() -> Unavailable:
    return Unavailable("The supervisor of this server does not answer.")


def line(message: msgspec.Struct) -> bytes:
    """A message as it travels: JSON has no line end of its own."""
    return msgspec.json.encode(message) + b"\n"
