"""What the host of several versions and a version say to each other, over a Unix socket of the version's.

A line of JSON asks, a line of JSON answers. To `sockets` the lanes themselves come along: a host that starts anew gets
them from a version that outlived its predecessor.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from undercroft.api.figures import Figures
from undercroft.errors import Unavailable
from undercroft.telemetry.logs import get_logger

T = TypeVar("T")

PROTOCOL: Final = 1
"""Both sides may be of different versions of undercroft: this number says that they understand each other."""
ANSWER_S: Final = 15.0
MOST_LANES: Final = 250
"""The kernel passes at most 253 descriptors in one message."""
LONGEST_LINE_BYTES: Final = 65_536


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """`report`: how it is. `lanes`: serve these and no others. `sockets`: hand over the listening sockets."""

    about: Literal["report", "lanes", "sockets"]
    lanes: tuple[int, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a version is, after the order was carried out."""

    protocol: int = PROTOCOL
    name: str
    undercroft: str
    schema: str
    """The schema revision that its code was written for."""
    lanes: tuple[int, ...]
    figures: Figures
    failure: str = ""
    """Why the order was not carried out."""


@contextmanager
def short(path: Path) -> Iterator[str]:
    """Another name of `path` that fits into a socket's address, which takes 107 bytes."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """A Unix socket at `path` (0600, in place of one that is there), listening."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short(path) as name:
        sock.bind(name)
    path.chmod(0o600)
    sock.listen(128)
    return sock


def connect(path: Path, *, timeout_s: float = ANSWER_S) -> socket.socket:
    """A connection to whoever listens at `path`. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        with short(path) as name:
            sock.connect(name)
    except BaseException:
        sock.close()
        raise
    return sock


def ask(path: Path, order: Order) -> Report:
    """Has the version behind `path` do it. Raises Unavailable."""
    try:
        with connect(path) as sock, sock.makefile("rb") as file:
            sock.sendall(msgspec.json.encode(order) + b"\n")
            report = msgspec.json.decode(file.readline(), type=Report)
    except (OSError, msgspec.DecodeError) as error:
        raise Unavailable(f"The version behind {path} does not answer.") from error
    if report.failure:
        raise Unavailable(f"Version {report.name} did not do as told: {report.failure}.")
    return report


def fetch_sockets(path: Path) -> tuple[socket.socket, ...]:
    """The lanes, from a version that has them. Raises Unavailable."""
    try:
        with connect(path) as sock:
            sock.sendall(msgspec.json.encode(Order(about="sockets")) + b"\n")
            _, descriptors, _, _ = socket.recv_fds(sock, 16, MOST_LANES)
    except OSError as error:
        raise Unavailable(f"The version behind {path} does not hand over its sockets.") from error
    if not descriptors:
        raise Unavailable(f"The version behind {path} has no sockets to hand over.")
    return tuple(socket.socket(fileno=number) for number in descriptors)


async def answer(
    listener: socket.socket, carry_out: Callable[[Order], Awaitable[Report]], lanes: Sequence[socket.socket]
) -> None:
    """Answers on `listener` until cancelled. Plain sockets: asyncio's streams cannot pass descriptors on."""
    loop = asyncio.get_running_loop()
    listener.settimeout(0)
    talks: set[asyncio.Task[None]] = set()
    try:
        while True:
            sock, _ = await loop.sock_accept(listener)
            talk = asyncio.create_task(_converse(sock, carry_out, lanes))
            talks.add(talk)
            talk.add_done_callback(talks.discard)
    finally:
        for talk in talks:
            talk.cancel()


async def _converse(
    sock: socket.socket, carry_out: Callable[[Order], Awaitable[Report]], lanes: Sequence[socket.socket]
) -> None:
    loop = asyncio.get_running_loop()
    with sock:
        sock.settimeout(0)
        try:
            line = b""
            async with asyncio.timeout(ANSWER_S):
                while not line.endswith(b"\n") and (more := await loop.sock_recv(sock, LONGEST_LINE_BYTES)):
                    line += more
                order = msgspec.json.decode(line, type=Order)
                if order.about == "sockets":
                    socket.send_fds(sock, [b"\n"], [lane.fileno() for lane in lanes])
                else:
                    await loop.sock_sendall(sock, msgspec.json.encode(await carry_out(order)) + b"\n")
        except (OSError, TimeoutError, msgspec.DecodeError) as error:  # the host died, and its successor asks anew
            get_logger("undercroft.version").debug("host_hung_up", reason=str(error))
