"""Hostile bytes against a serving process: none is answered 200, none twice, and the server goes on."""

import re
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.hostile import HOSTILE_MESSAGES
from tests.support.server import SCRIPTED, Server, serving

HEADER_TIMEOUT_S = 1.0
MOST_CONNECTIONS = 60
_STATUS = re.compile(rb"HTTP/1\.\d (\d\d\d)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = f"header_timeout_s = {HEADER_TIMEOUT_S}\nmax_connections = {MOST_CONNECTIONS}\n"
    with serving(tmp_path_factory.mktemp("hostile"), toml=f"{SCRIPTED}\n[server.limits]\n{limits}") as running:
        yield running


def exchange(port: int, data: bytes) -> list[int]:
    """Every status that comes back before the server closes. Fails when it neither answers nor closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10 * HEADER_TIMEOUT_S) as sock:
        received = b""
        try:
            sock.sendall(data)
            while piece := sock.recv(65_536):
                received += piece
        except ConnectionError:
            pass
        return [int(status) for status in _STATUS.findall(received)]


@pytest.mark.parametrize("name", HOSTILE_MESSAGES)
def test_a_hostile_message_is_refused_once(server: Server, name: str) -> None:
    statuses = exchange(server.port, HOSTILE_MESSAGES[name])
    assert len(statuses) <= 1
    assert all(400 <= status < 500 for status in statuses)
    assert server.ask("/health").status == 200


def test_the_corpus_is_large_enough() -> None:
    assert len(HOSTILE_MESSAGES) >= 40


def test_a_head_that_comes_too_slowly_is_closed(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as sock:
        started = time.monotonic()
        received = b""
        for byte in b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 1000:
            try:
                sock.sendall(bytes([byte]))
                sock.settimeout(0.05)
                received = sock.recv(1000)
                break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert time.monotonic() - started < 10 * HEADER_TIMEOUT_S
        assert received == b"" or b" 408 " in received


def test_connections_over_the_limit_are_turned_away_and_the_others_served(server: Server) -> None:
    held = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(MOST_CONNECTIONS - 1)]
    try:
        time.sleep(0.2)
        statuses = [exchange(server.port, b"GET /health HTTP/1.0\r\n\r\n") for _ in range(3)]
        assert [200] in statuses
        more = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(5)]
        held += more
        assert more[-1].recv(1000)[:12] in (b"HTTP/1.1 503", b"")
    finally:
        for sock in held:
            sock.close()


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    first = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    second = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert exchange(server.port, first + second) == [200, 404]


def test_an_old_client_is_answered_and_closed(server: Server) -> None:
    assert exchange(server.port, b"GET /health HTTP/1.0\r\n\r\n") == [200]


def test_a_head_request_gets_no_body(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = b""
        while piece := sock.recv(65_536):
            received += piece
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b"\r\n\r\n")
