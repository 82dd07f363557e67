"""Streams in the hands of clients that leave, stop reading, or still listen when the server is asked to end."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from tests.support.background import upstream_in_background
from tests.support.hostile import HOST, POST
from tests.support.http import Answer
from tests.support.raw import Wire, answers, connected
from tests.support.server import STOP_LIMIT_S, Server, ledger_rows, serving, started, until
from tests.support.upstream import DONE, STREAM_HEAD, Request, Step, Upstream, delta, event

SLACK = 10
PIECES = 20
PIECE_S = 0.1
LAME_DUCK_S = 1.0
WRITE_TIMEOUT_S = 1.0
STREAMS = 40


def unhurried(request: Request) -> Iterable[Step]:
    """Takes two seconds for its words."""
    yield STREAM_HEAD
    yield event(delta(role="assistant"))
    for _ in range(PIECES):
        yield event(delta(" word"))
        yield PIECE_S
    yield event(delta(finish_reason="stop"))
    yield DONE


def endless(request: Request) -> Iterable[Step]:
    """A word every hundredth of a second, without end."""
    yield STREAM_HEAD
    yield event(delta(role="assistant"))
    while True:
        yield event(delta(" word"))
        yield 0.01


def flood(request: Request) -> Iterable[Step]:
    """As much as is taken, without end."""
    yield STREAM_HEAD
    piece = event(delta("x" * 4000))
    while True:
        yield piece


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as running:
        running.answers = {"unhurried": unhurried, "endless": endless, "flood": flood}
        yield running


def configured(upstream: Upstream, **server: float) -> str:
    models = "".join(
        f"""
[[models]]
name = "{name}"
[[models.deployments]]
provider = "openai_compatible"
base_url = "{upstream.base_url}"
"""
        for name in ("unhurried", "endless", "flood")
    )
    said = "".join(f"{name} = {value}\n" for name, value in server.items())
    return f"{models}\n[server]\n{said}[server.limits]\nwrite_timeout_s = {WRITE_TIMEOUT_S}\n"


def begin(wire: Wire, model: str, *, user: str = "u") -> None:
    body = msgspec.json.encode(
        {"model": model, "stream": True, "user": user, "messages": [{"role": "user", "content": "hi"}]}
    )
    wire.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def is_whole(answer: Answer) -> bool:
    return answer.status == 200 and answer.body.endswith(b"data: [DONE]\n\n")


def active(server: Server) -> float:
    """The gauge, over all its series."""
    lines = [
        line for line in server.ask("/metrics").body.decode().splitlines() if line.startswith("ai_active_requests{")
    ]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


# Clients that do not stay.


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("streams"), toml=configured(upstream)) as running:
        yield running


def test_whenever_a_client_leaves_the_provider_is_stopped_and_the_call_booked_once(
    server: Server, upstream: Upstream
) -> None:
    for left_after in range(12):
        with connected(server.port) as wire:
            begin(wire, "endless", user=f"left-{left_after:02}")
            if left_after:
                wire.read_until(b"data:")
            while wire.received.count(b" word") < left_after - 1:
                wire.read_some(within_s=5)
    begun = time.monotonic()
    until(lambda: upstream.running == 0, every_s=0.005)
    took_s = time.monotonic() - begun
    print(f"the provider was stopped {took_s * 1000:.0f} ms after the last client had left")
    assert took_s < 0.1 * SLACK
    until(lambda: active(server) == 0)

    until(lambda: len(server.rows()) == 12)
    assert {(row.status, row.error) for row in server.rows()} == {(499, "client_closed")}
    # Who leaves at once may have left before anybody looked at what was asked.
    assert sorted(row.end_user for row in server.rows())[1:] == [f"left-{count:02}" for count in range(1, 12)]


def test_clients_that_do_not_read_stop_the_provider_and_are_closed(server: Server, upstream: Upstream) -> None:
    before = server.resident_bytes
    with ExitStack() as stack:
        wires = [stack.enter_context(connected(server.port, receive_buffer_bytes=4096)) for _ in range(30)]
        for number, wire in enumerate(wires):
            begin(wire, "flood", user=f"stuck-{number}")
        until(lambda: upstream.running >= 30)
        peers = [peer for peer in upstream.peers if not peer.closed.is_set()]
        sent = -1
        while sent != (sent := sum(peer.sent_bytes for peer in peers)):  # until nobody takes any more
            time.sleep(0.2)
        grown = server.resident_bytes - before
        print(f"30 clients that read nothing: {grown / 30 / 1000:.0f} kB each, {sent / 30 / 1e6:.1f} MB in all buffers")
        assert grown < 30 * 1_000_000
        assert server.ask("/health").status == 200
        until(lambda: upstream.running == 0, within_s=WRITE_TIMEOUT_S * SLACK)
    until(lambda: sum(row.end_user.startswith("stuck-") for row in server.rows()) == 30)
    assert {row.error for row in server.rows() if row.end_user.startswith("stuck-")} == {"client_closed"}


def test_a_client_that_reads_slowly_is_not_cut(server: Server) -> None:
    with connected(server.port, receive_buffer_bytes=4096) as wire:
        begin(wire, "flood")
        begun = time.monotonic()
        while time.monotonic() - begun < 4 * WRITE_TIMEOUT_S:
            assert wire.read_some(within_s=5)
            time.sleep(0.02)


# A server that is asked to end.


def in_background(work: Callable[[], Answer], count: int) -> tuple[list[threading.Thread], list[Answer]]:
    found: list[Answer] = []
    threads = [threading.Thread(target=lambda: found.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, found


def test_sigterm_lets_every_stream_finish_and_takes_nothing_new(upstream: Upstream, tmp_path: Path) -> None:
    with serving(tmp_path, toml=configured(upstream)) as server:
        threads, found = in_background(lambda: server.chat(model="unhurried", stream=True), STREAMS)
        until(lambda: active(server) == STREAMS)
        with connected(server.port) as idle:
            idle.send(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
            idle.read_until(b"version")
            server.process.send_signal(signal.SIGTERM)
            ready = server.ask("/health/ready")
            assert (ready.status, ready.json["checks"]["server"]) == (503, "shutting down")
            assert ready.headers["connection"] == "close"
            assert server.ask("/health/live").status == 200
            idle.read_to_end(within_s=LAME_DUCK_S * SLACK)
        until(lambda: refuses(server.port), within_s=LAME_DUCK_S * SLACK)
        for thread in threads:
            thread.join()
        assert server.process.wait(timeout=STOP_LIMIT_S) == 0
    assert [is_whole(answer) for answer in found] == [True] * STREAMS
    rows = ledger_rows(tmp_path)
    assert sorted(row.id for row in rows) == sorted(answer.request_id for answer in found)
    assert {row.status for row in rows} == {200}


def refuses(port: int) -> bool:
    try:
        with connected(port):
            return False
    except ConnectionRefusedError:
        return True


@pytest.mark.parametrize("again", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_now(upstream: Upstream, tmp_path: Path, again: signal.Signals) -> None:
    with serving(tmp_path, toml=configured(upstream)) as server, connected(server.port) as wire:
        begin(wire, "unhurried")
        wire.read_until(b" word")
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.ask("/health/ready").status == 503)
        begun = time.monotonic()
        server.process.send_signal(again)
        assert server.process.wait(timeout=STOP_LIMIT_S) == 0
        assert time.monotonic() - begun < 0.1 * SLACK
        said = wire.read_to_end()
    assert b"[DONE]" not in said
    assert b'data: {"error":' in said
    (row,) = ledger_rows(tmp_path)
    assert (row.status, row.error) == (503, "interrupted")
    assert row.output_tokens > 0


def test_a_stream_that_outlasts_the_grace_is_cut_and_not_ended_cleanly(upstream: Upstream, tmp_path: Path) -> None:
    with serving(tmp_path, toml=configured(upstream, shutdown_grace_s=1.0)) as server:  # noqa: SIM117 - left before it
        with connected(server.port) as wire, connected(server.port) as unread:
            begin(wire, "endless")
            begin(unread, "flood")
            wire.read_until(b" word")
            server.process.send_signal(signal.SIGTERM)
            (answer,) = answers(wire.read_to_end(within_s=60))
            assert server.process.wait(timeout=STOP_LIMIT_S) == 0
    assert b"[DONE]" not in answer.body
    assert answer.body.rstrip().rpartition(b"\n\n")[2].startswith(b'data: {"error":')
    assert [(row.status, row.error) for row in ledger_rows(tmp_path)] == [(503, "interrupted")] * 2


def test_ctrl_c_ends_an_idle_server_at_once(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        until(lambda: server.ask("/health/ready").status == 200)
        begun = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=STOP_LIMIT_S) == 0
        assert time.monotonic() - begun < 0.3 * SLACK
        assert "Traceback" not in server.stderr
