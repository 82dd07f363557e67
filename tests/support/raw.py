"""Bytes to a server and back, below any client library: what a hostile, slow or odd client sends."""

import re
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tests.support.http import Answer

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")


class Wire:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def try_send(self, data: bytes) -> None:
        """Sends as much as the other side takes: it may have refused and closed by then."""
        try:
            self.sock.sendall(data)
        except OSError:
            return

    def read_some(self, *, within_s: float) -> bytes:
        """The next bytes; none when the other side has closed. Raises TimeoutError when it stays silent."""
        self.sock.settimeout(within_s)
        try:
            data = self.sock.recv(65_536)
        except ConnectionError:
            data = b""
        self.received += data
        return data

    def read_until(self, wanted: bytes, *, within_s: float = 30.0) -> bytes:
        """Everything received so far, once `wanted` is in it."""
        deadline = time.monotonic() + within_s
        while wanted not in self.received:
            if not self.read_some(within_s=max(deadline - time.monotonic(), 0.001)):
                raise AssertionError(f"closed before {wanted!r} came: {self.received[-500:]!r}")
        return self.received

    def read_to_end(self, *, within_s: float = 30.0) -> bytes:
        """Everything until the other side closes."""
        deadline = time.monotonic() + within_s
        while self.read_some(within_s=max(deadline - time.monotonic(), 0.001)):
            pass
        return self.received

    def is_open(self, *, after_s: float) -> bool:
        """Whether the other side says nothing and does not close for this long."""
        try:
            return bool(self.read_some(within_s=after_s))
        except TimeoutError:
            return True


@contextmanager
def connected(port: int, *, receive_buffer_bytes: int | None = None) -> Iterator[Wire]:
    """A connection to 127.0.0.1; reset rather than lingering at the end of the block."""
    with socket.socket() as sock:
        if receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        sock.settimeout(30)
        sock.connect(("127.0.0.1", port))
        yield Wire(sock)


def exchange(port: int, data: bytes, *, within_s: float = 30.0) -> list[Answer]:
    """Every answer to these bytes, after which nothing more is sent."""
    with connected(port) as wire:
        wire.try_send(data)
        with _ignoring_reset():
            wire.sock.shutdown(socket.SHUT_WR)
        return answers(wire.read_to_end(within_s=within_s))


@contextmanager
def _ignoring_reset() -> Iterator[None]:
    try:
        yield
    except OSError:
        return


def answers(data: bytes, *, heads_only: Iterable[int] = ()) -> list[Answer]:
    """A connection's bytes as the answers that stand in them. `heads_only`: positions of those to HEAD requests."""
    found: list[Answer] = []
    without_body = frozenset(heads_only)
    while data:
        head, separator, rest = data.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        status = _STATUS.match(line)
        assert status is not None and separator, f"not an answer: {data[:200]!r}"  # noqa: PT018 - one fact
        headers = {
            name.decode().lower(): value.strip().decode("latin-1")
            for name, _, value in (each.partition(b":") for each in lines)
        }
        code = int(status[1])
        if code < 200:
            data = rest
            continue
        if len(found) in without_body:
            body, data = b"", rest
        elif headers.get("transfer-encoding") == "chunked":
            body, data = _dechunked(rest)
        elif "content-length" in headers:
            length = int(headers["content-length"])
            body, data = rest[:length], rest[length:]
        else:
            body, data = rest, b""
        found.append(Answer(code, headers, body))
    return found


def _dechunked(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        body, data = body + data[:length], data[length + 2 :]
        if not length:
            return body, data
