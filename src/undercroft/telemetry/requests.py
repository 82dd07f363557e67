"""The `api_request` line of every call, written from its record in batches, never in the event loop's way."""

import os
import select
import stat
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from io import UnsupportedOperation
from typing import Final, TextIO

import msgspec

from undercroft.clock import Clock, rfc3339
from undercroft.money import format_usd
from undercroft.record import CallRecord
from undercroft.telemetry.logs import Format, is_readable, readable_line
from undercroft.telemetry.redaction import Redactor

LOGGER: Final = "undercroft.requests"
CAPACITY: Final = 20_000
"""Records that wait for a slow reader of the log; further ones are dropped and counted (the ledger has them all)."""
REMEMBERED: Final = 4096
BATCH: Final = 200
"""Lines between two writes: they take the interpreter's lock, which calls are waiting for, for half a millisecond."""
PIECE_BYTES: Final = 1 << 18
"""Longest write to a file."""
_SEVERITY: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Line(msgspec.Struct, omit_defaults=True, gc=False):
    """What is logged of a call; never what was asked or answered. Fields with a default are left out when empty."""

    event: str
    level: str
    logger: str
    timestamp: str
    endpoint: str
    model: str
    tokens: int
    user_id: str
    request_id: str
    trace_id: str
    latency_ms: float
    cost: str
    status: int
    provider: str = ""
    deployment: str = ""
    error: str = ""
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    first_token_ms: float = 0.0
    cache: str = ""
    streamed: bool = False
    release: str = ""
    organisation: str = ""
    team: str = ""
    key: str = ""
    end_user: str = ""


def line_of(record: CallRecord, clean: Callable[[str], str]) -> Line:
    """The line of a record. `clean` takes secrets out of what others than ourselves chose."""
    who, usage = record.who, record.usage
    return Line(  # in the order of its fields: by their names it would take twice as long
        "api_request",
        level_of(record),
        LOGGER,
        rfc3339(record.started_us + record.duration_us),
        record.endpoint,
        clean(record.model),
        usage.input + usage.output,
        clean(who.user),
        record.id,
        record.trace,
        record.duration_us / 1000,
        format_usd(record.cost_nano),
        record.status,
        record.provider,
        clean(record.deployment),
        clean(record.error),
        record.attempts,
        usage.input,
        usage.output,
        record.first_token_us / 1000,
        record.cache,
        record.streamed,
        record.release,
        who.organisation,
        who.team,
        who.key,
        clean(record.end_user),
    )


def level_of(record: CallRecord) -> str:
    """A failure of ours or of a provider is an error; what a caller did wrong is not."""
    return "error" if record.status >= 500 else "info"


class RequestLog:
    """Writes `api_request` lines to a stream: `add` and `flush` only hand over, a thread encodes and writes.

    When whoever reads the stream is slower than the calls, lines are dropped, and the next line that gets through says
    how many.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        clock: Clock,
        redactor: Redactor,
        format: Format = "auto",
        level: str = "info",
        sample: float = 1.0,
        capacity: int = CAPACITY,
    ) -> None:
        self._out = _Output(stream)
        self._clock = clock
        self._stream = stream
        self.configure(redactor=redactor, format=format, level=level, sample=sample)
        self._capacity = capacity
        self._waiting: deque[CallRecord] = deque()
        self._encoder = msgspec.json.Encoder()
        self._refused = 0  # counted by `add`
        self._lost = 0  # counted by the thread, as is what it has told
        self._reported = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def configure(self, *, redactor: Redactor, format: Format, level: str, sample: float = 1.0) -> None:
        """How lines are written from now on. `sample` is the share of the calls that went well which get one."""
        self._sample = sample
        self._clean = lru_cache(REMEMBERED)(redactor.text)  # the same few names again and again
        self._readable = is_readable(format, self._stream)
        self._least = _SEVERITY[level]

    def set_level(self, level: str) -> None:
        """The least severe level from now on."""
        self._least = _SEVERITY[level]

    @property
    def dropped(self) -> int:
        """Lines lost so far."""
        return self._refused + self._lost

    def add(self, *records: CallRecord) -> None:
        """Takes records; called from one thread."""
        if self._sample < 1 or self._least > _SEVERITY["info"]:
            records = tuple(filter(self._is_wanted, records))
        room = self._capacity - len(self._waiting)
        self._waiting.extend(records[:room])
        self._refused += max(0, len(records) - room)

    def _is_wanted(self, record: CallRecord) -> bool:
        if _SEVERITY[level_of(record)] < self._least:
            return False
        return self._sample >= 1 or record.status >= 400 or _is_chosen(record.id, self._sample)

    def flush(self) -> None:
        """Has what was added written, soon; returns at once."""
        if not self._waiting:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
            self._thread.start()
        self._wake.set()

    def close(self, *, timeout_s: float = 2.0) -> None:
        """Writes what is left and ends; a stream that nobody reads is given up after `timeout_s`."""
        self.flush()
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        else:
            self._out.close()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            closing = self._closing  # read before the last look, or what comes in between would stay
            while self._waiting:
                self._write([self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH))])
            if closing:
                self._write([])
                self._out.close()
                return

    def _write(self, records: list[CallRecord]) -> None:
        lines = self._encode([line_of(record, self._clean) for record in records])
        untold = self.dropped - self._reported
        try:
            self._out.write(lines + self._losses(untold) if untold else lines)
        except (OSError, ValueError):  # the reader has gone, the stream is closed, the disk is full
            self._lost += len(records)
        else:
            self._reported += untold

    def _losses(self, count: int) -> bytes:
        timestamp = rfc3339(self._clock.now_us())
        if self._readable:
            return _readable(timestamp, "warning", "log_lines_dropped", {"count": count})
        line = {"event": "log_lines_dropped", "level": "warning", "logger": LOGGER, "timestamp": timestamp}
        return self._encoder.encode({**line, "count": count}) + b"\n"

    def _encode(self, lines: list[Line]) -> bytes:
        return b"".join(map(_shown, lines)) if self._readable else self._encoder.encode_lines(lines)


def _is_chosen(call: str, share: float) -> bool:
    """By the call's id, so that it is the same wherever it is asked."""
    return zlib.crc32(call.encode()) < share * (1 << 32)


def _shown(line: Line) -> bytes:
    event = f"{line.status} {line.endpoint} {line.model or '-'} {line.latency_ms:.1f} ms"
    fields = {
        "tokens": line.tokens,
        "cost": f"${line.cost}",
        "provider": line.provider,
        "request_id": line.request_id,
    }
    if line.error:
        fields["error"] = line.error
    return _readable(line.timestamp, line.level, event, fields)


def _readable(timestamp: str, level: str, event: str, fields: Mapping[str, object]) -> bytes:
    return (readable_line(timestamp, level, LOGGER, event, fields.items()) + "\n").encode()


class _Output:
    """Whole lines to a stream; through a descriptor of our own where it has one.

    Our own, because a thread that is still writing when the stream is closed would write into whatever file gets its
    number next.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        try:
            self._descriptor: int | None = os.dup(stream.fileno())
        except (UnsupportedOperation, AttributeError):
            self._descriptor = None
            return
        # A pipe takes so much in one piece without other writers' lines landing inside ours; a file takes any write.
        is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._piece_bytes = PIECE_BYTES if is_file else select.PIPE_BUF

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def write(self, lines: bytes) -> None:
        if self._descriptor is None:
            self._stream.write(lines.decode())
            self._stream.flush()
            return
        for piece in _pieces(lines, self._piece_bytes):
            rest = memoryview(piece)
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # another program with the same terminal has made it non-blocking
                    select.select((), (self._descriptor,), ())


def _pieces(lines: bytes, most_bytes: int) -> Iterator[bytes]:
    """Whole lines in pieces of at most so many bytes; a longer line is a piece by itself."""
    start = 0
    while len(lines) - start > most_bytes:
        end = lines.rfind(b"\n", start, start + most_bytes) + 1 or lines.find(b"\n", start) + 1
        yield lines[start:end]
        start = end
    yield lines[start:]
