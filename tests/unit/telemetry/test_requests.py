"""The `api_request` line."""

import errno
import io
import json
import os
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec
import pytest

from tests.support.clock import ManualClock
from undercroft.record import CallRecord, Usage, Who
from undercroft.telemetry.redaction import REPLACEMENT, Redactor
from undercroft.telemetry.requests import PIECE_BYTES, RequestLog

SECRET = "canary-4f6Qz9-Wm2Lk7"

RECORD = CallRecord(
    id="req_1",
    started_us=1_767_225_600_000_000,
    duration_us=123_456,
    who=Who(user="ada", key="abcd2345"),
    endpoint="/v1/chat/completions",
    model="chat",
    provider="openai",
    deployment="chat/0",
    attempts=2,
    first_token_us=50_000,
    usage=Usage(input=10, output=5, cache_read=4),
    cost_nano=1_500_000,
    trace="0af7651916cd43dd8448eb211c80319c",
)


def changed(**fields: Any) -> CallRecord:
    return msgspec.structs.replace(RECORD, **fields)


def log_to(stream: TextIO, **options: Any) -> RequestLog:
    return RequestLog(stream, clock=ManualClock(), redactor=Redactor([SECRET]), **options)


def written(*records: CallRecord, **options: Any) -> str:
    stream = io.StringIO()
    log = log_to(stream, **options)
    for record in records:
        log.add(record)
    log.close()
    return stream.getvalue()


def test_a_call_is_one_line_with_the_promised_keys() -> None:
    line = json.loads(written(RECORD))
    promised = {
        "event": "api_request",
        "level": "info",
        "logger": "undercroft.requests",
        "timestamp": "2026-01-01T00:00:00.123456Z",
        "endpoint": "/v1/chat/completions",
        "model": "chat",
        "tokens": 15,
        "user_id": "ada",
        "request_id": "req_1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "latency_ms": 123.456,
        "cost": "0.0015",
        "status": 200,
    }
    assert {key: line[key] for key in promised} == promised
    assert line["attempts"] == 2
    assert "error" not in line


def test_the_promised_keys_are_there_when_there_is_nothing_to_say() -> None:
    refused = CallRecord(id="r", started_us=0, duration_us=0, who=Who(user=""), endpoint="/v1/x", model="", status=404)
    line = json.loads(written(refused))
    for key in ("endpoint", "model", "tokens", "user_id", "request_id", "trace_id", "latency_ms", "cost", "status"):
        assert key in line


def test_what_callers_wrote_is_searched_for_secrets() -> None:
    shown = written(changed(end_user=SECRET, model=SECRET, error=SECRET, who=Who(user=f"{SECRET}\n")))
    assert SECRET not in shown
    assert shown.count(REPLACEMENT) == 4
    assert shown.count("\n") == 1


def test_our_failures_are_errors_and_a_callers_are_not() -> None:
    shown = written(changed(status=503, error="upstream_overloaded"), changed(status=429, error="rate_limit_exceeded"))
    assert [json.loads(line)["level"] for line in shown.splitlines()] == ["error", "info"]


def test_below_the_level_nothing_is_written() -> None:
    shown = written(RECORD, changed(status=502, error="upstream_error"), level="error")
    assert [json.loads(line)["status"] for line in shown.splitlines()] == [502]


def test_a_terminal_gets_a_readable_line() -> None:
    shown = written(changed(model="x\x1b[2J", status=502, error="upstream_error"), format="console")
    assert shown.startswith("00:00:00 error    undercroft.requests  502 /v1/chat/completions x\\x1b[2J 123.5 ms")
    assert "tokens=15" in shown
    assert "error=upstream_error" in shown


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")
    yield reader, stream
    stream.close()
    os.close(reader)


def read_all(descriptor: int, into: list[bytes]) -> threading.Thread:
    def read() -> None:
        while piece := os.read(descriptor, 1 << 20):
            into.append(piece)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def test_a_reader_that_stops_blocks_nobody_and_hears_later_what_it_missed(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    log = log_to(stream, capacity=1000)
    longest = 0.0
    for _ in range(50):
        started = time.monotonic()
        log.add(*[RECORD] * 199)
        log.add(RECORD)
        log.flush()
        longest = max(longest, time.monotonic() - started)
        time.sleep(0.002)
    assert longest < 0.5
    assert log.dropped > 0
    pieces: list[bytes] = []
    thread = read_all(reader, pieces)
    log.close(timeout_s=10)
    stream.close()
    thread.join(10)
    lines = [json.loads(line) for line in b"".join(pieces).splitlines()]
    told = sum(line["count"] for line in lines if line["event"] == "log_lines_dropped")
    assert told == log.dropped
    assert sum(line["event"] == "api_request" for line in lines) + told == 10_000


def test_closing_does_not_wait_for_a_reader_that_never_comes(pipe: tuple[int, TextIO]) -> None:
    _, stream = pipe
    log = log_to(stream)
    for _ in range(2000):
        log.add(RECORD)
    log.flush()
    started = time.monotonic()
    log.close(timeout_s=0.1)
    assert time.monotonic() - started < 5


def test_a_reader_that_has_gone_costs_lines_and_nothing_else() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        log = log_to(stream)
        log.add(RECORD)
        log.close()
    assert log.dropped >= 1


def test_what_was_lost_is_told_once_even_if_telling_it_fails_at_first() -> None:
    class Sick(io.StringIO):
        failures = 2

        def write(self, text: str, /) -> int:
            if self.failures:
                self.failures -= 1
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(text)

    stream = Sick()
    log = log_to(stream)
    for lost in (1, 2):
        log.add(RECORD)
        log.flush()
        deadline = time.monotonic() + 10
        while log.dropped < lost and time.monotonic() < deadline:
            time.sleep(0.001)
    log.add(RECORD)
    log.close(timeout_s=10)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line.get("count")) for line in lines] == [("api_request", None), ("log_lines_dropped", 2)]


def test_lines_of_several_writers_do_not_mix(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    pieces: list[bytes] = []
    thread = read_all(reader, pieces)
    logs = [log_to(stream) for _ in range(3)]
    for log in logs:
        for _ in range(2000):
            log.add(RECORD)
        log.flush()
    for log in logs:
        log.close(timeout_s=10)
    stream.close()
    thread.join(10)
    assert len([json.loads(line) for line in b"".join(pieces).splitlines()]) == 6000


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_line_that_is_longer_than_a_pipe_takes_at_once_comes_whole_between_others(
    pipe: tuple[int, TextIO], format: Any
) -> None:
    reader, stream = pipe
    pieces: list[bytes] = []
    thread = read_all(reader, pieces)
    log = log_to(stream, format=format)
    names = ["first", "x" * 3 * select.PIPE_BUF, *["short"] * 20, "y" * 2 * select.PIPE_BUF, "last"]
    for name in names:
        log.add(changed(model=name))
    log.close(timeout_s=10)
    stream.close()
    thread.join(10)
    lines = b"".join(pieces).decode().splitlines()
    assert [name in line for name, line in zip(names, lines, strict=True)] == [True] * len(names)


def test_more_lines_than_one_write_takes_reach_a_file_whole_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "out.log"
    with path.open("w") as stream:
        log = log_to(stream)
        for number in range(3000):
            log.add(changed(id=f"req_{number}"))
        log.close(timeout_s=10)
    assert path.stat().st_size > PIECE_BYTES
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["request_id"] for line in lines] == [f"req_{number}" for number in range(3000)]


def test_a_log_that_was_given_up_writes_into_nothing_that_gets_its_streams_number() -> None:
    reader, writer = os.pipe()
    received, sent = os.pipe()
    stream = os.fdopen(writer, "w")
    log = log_to(stream)
    for _ in range(2000):
        log.add(RECORD)
    log.flush()
    log.close(timeout_s=0.1)  # its thread still waits for a reader
    stream.close()
    os.dup2(sent, writer, inheritable=False)
    try:
        os.close(reader)  # the thread goes on
        deadline = time.monotonic() + 10
        while log.dropped < 2000 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert log.dropped == 2000
        os.set_blocking(received, False)
        with pytest.raises(BlockingIOError):
            os.read(received, 1)
    finally:
        for number in (received, sent, writer):
            os.close(number)


def test_a_non_blocking_stream_is_waited_for(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    os.set_blocking(stream.fileno(), False)
    log = log_to(stream)
    for _ in range(2000):
        log.add(RECORD)
    log.flush()
    pieces: list[bytes] = []
    time.sleep(0.05)  # until the pipe is full
    thread = read_all(reader, pieces)
    log.close(timeout_s=10)
    stream.close()
    thread.join(10)
    assert b"".join(pieces).count(b"\n") == 2000
    assert log.dropped == 0


def test_a_closed_log_holds_no_descriptor() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        for records in (0, 1):
            log = log_to(stream)
            for _ in range(records):
                log.add(RECORD)
            log.close()
    assert os.read(read, 1 << 20).count(b"\n") == 1
    assert os.read(read, 1) == b""  # the end: nobody holds the other side
    os.close(read)
