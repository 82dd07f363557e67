"""Hostile, broken and odd clients against a running server: none is answered 200 or twice, others are served."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles

import msgspec
import pytest

from tests.support.hostile import HOST, HOSTILE_MESSAGES, POST
from tests.support.raw import answers, connected, exchange
from tests.support.server import SCRIPTED, Server, serving, until

HEADER_TIMEOUT_S = 1.0
BODY_TIMEOUT_S = 1.0
LIMIT_BYTES = 1_000_000
SLACK = 10
HEALTH = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = b"GET /health HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"
CALL = msgspec.json.encode({"model": "chat", "messages": [{"role": "user", "content": "hi"}]})
HOSTS = (b"a/b?c#", b"localhost/health", b"localhost@evil", b"local host", b"", b"localhost,evil", b"[::1", b"a:b")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = f"""
[server.limits]
header_timeout_s = {HEADER_TIMEOUT_S}
body_timeout_s = {BODY_TIMEOUT_S}
max_body_bytes = {LIMIT_BYTES}
"""
    with serving(tmp_path_factory.mktemp("hostile"), toml=f"{SCRIPTED}{limits}") as running:
        yield running


# Messages that no HTTP server should take.


def test_the_corpus_is_large_enough() -> None:
    assert len(HOSTILE_MESSAGES) >= 40


@pytest.mark.parametrize("name", HOSTILE_MESSAGES)
@pytest.mark.parametrize("behind", [b"", LAST], ids=["alone", "with a request behind it"])
def test_a_hostile_message_is_refused_once(server: Server, name: str, behind: bytes) -> None:
    (answer,) = exchange(server.port, HOSTILE_MESSAGES[name] + behind)
    assert answer.status in (400, 431)
    assert answer.error["type"] == "invalid_request_error"
    assert answer.headers["connection"] == "close"
    assert answer.request_id
    assert server.ask("/health").status == 200


SPLIT = {name: message for name, message in HOSTILE_MESSAGES.items() if len(message) < 400}
SPLIT.pop("a request behind a chunked body")  # in pieces of its own it is the next request, in good order


@pytest.mark.parametrize("name", SPLIT)
def test_a_hostile_message_is_refused_however_it_is_cut(server: Server, name: str) -> None:
    message = HOSTILE_MESSAGES[name]
    with connected(server.port) as wire:
        wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(len(message)):
            wire.try_send(message[position : position + 1])
        (answer,) = answers(wire.read_to_end())
    assert answer.status in (400, 431)


def test_a_malformed_host_is_refused_on_every_route(server: Server) -> None:
    routes = ("/", "/health", "/metrics", "/docs", "/v1/models", "/v1/chat/completions", "/api/v1/usage", "/nowhere")
    for route in routes:
        for host in HOSTS:
            message = b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (route.encode(), host)
            assert [answer.status for answer in exchange(server.port, message)] == [400], (route, host)


# Clients that are slow, half gone, or too many.


def test_a_head_that_comes_byte_by_byte_is_closed_when_its_time_is_up(server: Server) -> None:
    with connected(server.port) as wire:
        started = time.monotonic()
        for byte in b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 1000:
            wire.try_send(bytes([byte]))
            try:
                wire.read_some(within_s=0.05)
            except TimeoutError:
                continue
            break
        took_s = time.monotonic() - started
        (answer,) = answers(wire.read_to_end())
    assert answer.status == 408
    assert HEADER_TIMEOUT_S <= took_s < HEADER_TIMEOUT_S * SLACK


def test_others_are_served_while_many_dawdle_and_many_idle(server: Server) -> None:
    def answer_s() -> float:
        begun = time.monotonic()
        assert server.chat().status == 200
        return time.monotonic() - begun

    alone = quantiles([answer_s() for _ in range(50)], n=20)[-1]
    with ExitStack() as stack:
        for number in range(200):
            wire = stack.enter_context(connected(server.port))
            wire.send(b"GET /health HTTP/1.1\r\nHost:" if number % 2 else HEALTH)
        crowded = quantiles([answer_s() for _ in range(50)], n=20)[-1]
    print(f"95 of 100 calls took {alone * 1000:.1f} ms alone, {crowded * 1000:.1f} ms beside 200 such connections")
    assert crowded < max(alone, 0.02) * SLACK


def test_connections_over_the_limit_are_turned_away_until_there_is_room(tmp_path: Path) -> None:
    toml = f"{SCRIPTED}\n[server.limits]\nmax_connections = 20\n"
    with serving(tmp_path, toml=toml) as server:
        with ExitStack() as held:
            wires = [held.enter_context(connected(server.port)) for _ in range(20)]
            wires[-1].send(HEALTH)
            wires[-1].read_until(b'"version"')
            for _ in range(3):
                with connected(server.port) as late:
                    (refused,) = answers(late.read_to_end())
                assert (refused.status, refused.headers["connection"]) == (503, "close")
            wires[0].send(LAST)
            assert answers(wires[0].read_to_end())[0].status == 200, "who is in is served"
        until(lambda: exchange(server.port, LAST)[0].status == 200)


def test_a_body_that_stops_in_the_middle_is_given_up(server: Server) -> None:
    with connected(server.port) as wire:
        wire.send(POST + b"Content-Length: 100\r\n\r\n{")
        begun = time.monotonic()
        (answer,) = answers(wire.read_to_end(within_s=BODY_TIMEOUT_S * SLACK))
    assert (answer.status, answer.error["code"]) == (400, "request_timeout")
    assert time.monotonic() - begun >= BODY_TIMEOUT_S * 0.9


@pytest.mark.parametrize(
    "message",
    [
        b"GET /hea",
        POST + b"Content-Length: 100\r\n\r\n{",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        POST + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_client_that_leaves_in_the_middle_of_its_request_leaves_nothing_behind(
    server: Server, message: bytes
) -> None:
    for _ in range(20):
        with connected(server.port) as wire:
            wire.send(message)
    until(lambda: open_descriptors(server) < 60)
    assert server.ask("/health").status == 200
    assert server.stderr == ""


def open_descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


# Bodies that are too large.


def test_a_hundred_megabytes_are_refused_with_flat_memory(server: Server) -> None:
    assert server.chat().status == 200  # everything it imports later is there
    before = server.resident_bytes
    piece = b" " * 1_000_000
    with connected(server.port) as wire:
        wire.send(POST + b"Content-Length: 100000000\r\n\r\n")
        refused = answers(wire.read_to_end())  # at once, before any of it is sent
        for _ in range(100):
            wire.try_send(piece)
    assert [answer.status for answer in refused] == [413]
    assert server.resident_bytes - before < 32_000_000


def test_many_bodies_without_a_length_are_refused_at_the_limit_with_little_memory(server: Server) -> None:
    before = server.resident_bytes
    piece = b"%x\r\n%b\r\n" % (100_000, b" " * 100_000)
    with ExitStack() as stack:
        wires = [stack.enter_context(connected(server.port)) for _ in range(16)]
        for wire in wires:
            wire.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(LIMIT_BYTES // 100_000 + 2):
            for wire in wires:
                wire.try_send(piece)
        for wire in wires:
            (answer,) = answers(wire.read_to_end())
            assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert server.resident_bytes - before < 32_000_000 + 16 * LIMIT_BYTES


def test_a_body_in_small_chunks_with_extensions_and_trailers_is_one_request(server: Server) -> None:
    chunks = b"".join(b"1;a=b\r\n%b\r\n" % CALL[at : at + 1] for at in range(len(CALL)))
    message = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nX-Trailer: y\r\n\r\n"
    (answer,) = exchange(server.port, message)
    assert answer.status == 200


# Odd, but right.


def call_of(*fields: bytes) -> bytes:
    return POST + b"".join(field + b"\r\n" for field in fields) + b"Content-Length: %d\r\n\r\n" % len(CALL) + CALL


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    nowhere = b"GET /nowhere HTTP/1.1\r\n" + HOST + b"\r\n"
    message = HEALTH + call_of() + nowhere + b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n" + call_of() + LAST + HEALTH
    with connected(server.port) as wire:
        wire.send(message)
        found = answers(wire.read_to_end(), heads_only=[3])
    assert [answer.status for answer in found] == [200, 200, 404, 200, 200, 200]
    assert [b"version" in answer.body for answer in found] == [True, False, False, False, False, True]
    assert len({answer.request_id for answer in found}) == 6


def test_a_client_far_ahead_of_its_answers_gets_them_all(server: Server) -> None:
    with connected(server.port) as wire:
        wire.send(call_of() * 500 + LAST)
        found = answers(wire.read_to_end(within_s=60))
    assert [answer.status for answer in found] == [200] * 501


def test_a_request_cut_anywhere_is_answered_the_same(server: Server) -> None:
    message = call_of(b"Connection: close")
    for cut in range(1, len(message), 3):
        with connected(server.port) as wire:
            wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wire.send(message[:cut])
            wire.send(message[cut:])
            (answer,) = answers(wire.read_to_end())
        assert answer.status == 200, message[:cut]


def test_http_1_0_is_answered_and_closed_unless_it_asks_to_live_on(server: Server) -> None:
    (answer,) = exchange(server.port, b"GET /health HTTP/1.0\r\n\r\n")
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    with connected(server.port) as wire:
        wire.send(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
        wire.read_until(b'"version"')
        assert wire.is_open(after_s=0.2)
    with connected(server.port) as wire:  # a stream of unknown length ends with the connection
        body = CALL[:-1] + b',"stream":true}'
        wire.send(b"POST /v1/chat/completions HTTP/1.0\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        (answer,) = answers(wire.read_to_end())
    assert "transfer-encoding" not in answer.headers
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_who_expects_to_be_asked_for_the_body_is_asked_once(server: Server) -> None:
    head, _, body = call_of(b"Expect: 100-continue", b"Connection: close").partition(b"\r\n\r\n")
    with connected(server.port) as wire:
        wire.send(head + b"\r\n\r\n")
        assert wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(body)
        (answer,) = answers(wire.read_to_end())
    assert answer.status == 200


def test_who_expects_to_be_asked_is_refused_before_sending_too_much(server: Server) -> None:
    with connected(server.port) as wire:
        wire.send(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (LIMIT_BYTES + 1))
        received = wire.read_to_end()
    assert b"100 Continue" not in received
    assert [answer.status for answer in answers(received)] == [413]


def test_a_kept_connection_serves_one_request_after_the_other(server: Server) -> None:
    with connected(server.port) as wire:
        for _ in range(50):
            wire.received = b""
            wire.send(call_of())
            wire.read_until(b'"object":"chat.completion"')
            (answer,) = answers(wire.received)
            assert answer.status == 200
            assert "connection" not in answer.headers
