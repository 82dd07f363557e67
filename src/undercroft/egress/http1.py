"""HTTP/1.1 as a client meets it: request heads, response heads and the three ways a body ends. Bytes in, values out.

An upstream is believed as little as a caller: what is not exactly HTTP/1.1 framing is UpstreamGarbled, never a guess.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, Protocol

from undercroft.errors import ConfigurationError, UpstreamGarbled

MAX_HEAD_BYTES: Final = 65_536
"""Longest response head, and longest trailer section."""
_MAX_CHUNK_LINE_BYTES: Final = 4096
_SHORT_CHUNK_LINE: Final = 10
"""Up to eight digits and the line's end."""
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_HEAD: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?> [^\r\n]*+)?+(?>\r\n" + _TOKEN + rb":[^\r\n\0]*+)*+")
_FIELD_NAME: Final = re.compile(rb"\r\n(" + _TOKEN + rb"):")
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15}+)[ \t]*+(?>;[^\r\n]*+)?+\r\n")


_LAST: Final = b"content-length: "
"""How the heads of requests end, until the client adds the number."""


def request_head(method: str, path: str, *, host: str, fields: Mapping[str, str]) -> bytes:
    """A request's head up to `content-length: `; the client adds the number. Made once, sent often."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in fields.items())]
    if any(not line.isascii() or not line.isprintable() for line in lines) or len(lines[0].split(" ")) != 3:
        # The lines are not quoted: one of them holds a key.
        raise ConfigurationError(
            f"The address or key for {host} has characters that cannot stand in an HTTP header.",
            hint="Look for line breaks, blanks and non-ASCII characters.",
        )
    return "\r\n".join([*lines, ""]).encode("ascii") + _LAST


def below(head: bytes, traceparent: str) -> bytes:
    """The same head of a request that tells what it is below."""
    return b"%btraceparent: %b\r\n%b" % (head[: -len(_LAST)], traceparent.encode(), _LAST)


def request_below(head: bytes, traceparent: str, body: bytes) -> bytes:
    """All of a request; `traceparent` may be empty: then it is below nothing."""
    if not traceparent:
        return b"%b%d\r\n\r\n%b" % (head, len(body), body)
    fields = head[: -len(_LAST)], traceparent.encode(), _LAST
    return b"%btraceparent: %b\r\n%b%d\r\n\r\n%b" % (*fields, len(body), body)


class Headers(Mapping[str, str]):
    """A response's fields, looked up in any case; of a repeated field the first counts.

    Parsed on look-up: most answers are passed on with no field or one looked at.
    """

    __slots__ = ("_head", "_lower")

    def __init__(self, head: bytes, lower: bytes) -> None:
        self._head = head
        self._lower = lower

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _marker(name) in self._lower

    def __getitem__(self, name: str) -> str:
        marker = _marker(name)
        start = self._lower.find(marker)
        if start < 0:
            raise KeyError(name)
        start += len(marker)
        end = self._head.find(b"\r\n", start)
        return self._head[start : end if end >= 0 else None].decode("latin-1").strip(" \t")

    def __iter__(self) -> Iterator[str]:
        names = (match[1].decode("latin-1") for match in _FIELD_NAME.finditer(self._lower))
        return iter(dict.fromkeys(names))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@lru_cache(maxsize=256)
def _marker(name: str) -> bytes:
    """What a field begins with; the same few are looked for in every answer."""
    return b"\r\n%b:" % name.lower().encode("latin-1")


class Framing(Protocol):
    """Finds the end of a body."""

    ended: bool
    overrun: bool
    """Bytes came after the end: nobody asked for them, so the connection cannot be used again."""

    def feed(self, data: bytes, /) -> bytes:
        """The payload in `data`; raises UpstreamGarbled when the framing is broken."""
        ...


class Sized:
    """A body of `Content-Length` bytes."""

    __slots__ = ("_missing", "ended", "overrun")

    def __init__(self, size: int) -> None:
        self._missing = size
        self.ended = size == 0
        self.overrun = False

    def feed(self, data: bytes) -> bytes:
        missing = self._missing - len(data)
        if missing < 0:
            data = data[: self._missing]
            self.overrun = True
            missing = 0
        self._missing = missing
        self.ended = missing == 0
        return data


class UntilClose:
    """A body that lasts as long as the connection."""

    __slots__ = ("ended", "overrun")

    def __init__(self) -> None:
        self.ended = False
        self.overrun = False

    def feed(self, data: bytes) -> bytes:
        return data


class Chunked:
    """A body in chunks; extensions and trailers are read over."""

    __slots__ = ("_in_trailers", "_missing", "_partial", "_trailer_bytes", "ended", "is_between", "overrun")

    def __init__(self) -> None:
        self.ended = False
        self.overrun = False
        self.is_between = True
        """The next byte begins a chunk."""
        self._missing = 0
        """Bytes still to come of the present chunk, the line end behind it included."""
        self._partial = b""
        self._in_trailers = False
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> bytes:
        if self._partial:
            data = self._partial + data
            self._partial = b""
        if self.is_between and (start := _payload_of(data)):
            return data[start:-2]
        payload: list[bytes] = []
        position, end = 0, len(data)
        while position < end and not self.ended:
            if self._missing:
                position = self._take(data, position, payload)
            elif self._in_trailers:
                position = self._skip_trailer(data, position)
            else:
                position = self._start_chunk(data, position)
        self.overrun = position < end
        self.is_between = not (self._missing or self._in_trailers or self._partial)
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def _start_chunk(self, data: bytes, position: int) -> int:
        line = _CHUNK_LINE.match(data, position)
        if line is None:
            if data.find(b"\n", position) >= 0 or len(data) - position > _MAX_CHUNK_LINE_BYTES:
                raise UpstreamGarbled(f"The upstream sent a bad chunk size: {data[position : position + 20]!r}.")
            self._partial = data[position:]
            return len(data)
        size = int(line[1], 16)
        if size:
            self._missing = size + 2
        else:
            self._in_trailers = True
        return line.end()

    def _take(self, data: bytes, position: int, payload: list[bytes]) -> int:
        available = len(data) - position
        missing = self._missing
        if available >= missing:
            end = position + missing
            if data[end - 2 : end] != b"\r\n":
                raise UpstreamGarbled("The upstream sent a chunk that is longer than its size says.")
            if missing > 2:
                payload.append(data[position : end - 2])
            self._missing = 0
            return end
        if missing - available >= 2:
            payload.append(data[position:])
            self._missing = missing - available
        else:  # all but the last byte of the line end: kept back whole, so that both are checked together
            if missing > 2:
                payload.append(data[position : position + missing - 2])
            self._partial = data[-1:]
            self._missing = 2
        return len(data)

    def _skip_trailer(self, data: bytes, position: int) -> int:
        end = data.find(b"\r\n", position)
        line_bytes = (end if end >= 0 else len(data)) - position
        if self._trailer_bytes + line_bytes > MAX_HEAD_BYTES:
            raise UpstreamGarbled(f"The upstream sent more than {MAX_HEAD_BYTES} bytes of trailers.")
        if end < 0:
            self._partial = data[position:]
            return len(data)
        self._trailer_bytes += line_bytes
        self.ended = line_bytes == 0
        return end + 2


def _payload_of(data: bytes) -> int:
    """Where the payload starts, two bytes before whose line's end the data ends, of what is just one whole chunk,
    written as everybody writes it; 0: it is more, or less."""
    start = data.find(b"\r\n", 0, _SHORT_CHUNK_LINE) + 2
    size = len(data) - start - 2
    if start < 3 or size < 1 or data[: start - 2] != b"%x" % size or data[-2:] != b"\r\n":
        return 0
    return start


class Head:
    """A response's status, fields, framing, and whether the connection outlives it."""

    __slots__ = ("framing", "headers", "keeps_open", "status")

    def __init__(self, head: bytes) -> None:
        match = _HEAD.fullmatch(head)
        if match is None:
            raise UpstreamGarbled(
                f"The upstream did not answer in HTTP/1.1 but with {head[:40]!r}.",
                hint="Is the port right, and the scheme (http or https)?",
            )
        lower = head.lower()
        version, status = match.groups()
        self.status = int(status)
        self.headers = Headers(head, lower)
        self.keeps_open = version == b"1" and not (
            b"\r\nconnection:" in lower and "close" in self.headers["connection"].lower()
        )
        self.framing: Framing
        if self.status in (204, 304) or self.status < 200:
            self.framing = Sized(0)
        elif b"\r\ntransfer-encoding:" in lower:
            self.framing = self._chunked(lower)
        elif (start := lower.find(b"\r\ncontent-length:")) >= 0:
            self.framing = Sized(_length(lower, start + 17))
        else:
            self.framing = UntilClose()
            self.keeps_open = False

    def _chunked(self, lower: bytes) -> Chunked:
        coding = self.headers["transfer-encoding"].lower()
        if coding != "chunked" or lower.count(b"\r\ntransfer-encoding:") > 1:
            raise UpstreamGarbled(f"The upstream used the transfer coding {coding!r}, which was not asked for.")
        if b"\r\ncontent-length:" in lower:  # chunks win (RFC 9112, 6.3), but whoever sends both may not mean it
            self.keeps_open = False
        return Chunked()


_ANY_FIELD: Final = (
    rb"(?>\r\n(?!(?i:content-length|transfer-encoding|content-encoding|connection):)" + _TOKEN + rb":[^\r\n\0]*+"
    rb"|\r\n(?i:connection: keep-alive)(?=\r\n))*+"
)
_WHOLE: Final = re.compile(
    rb"HTTP/1\.1 200 [^\r\n]*+"
    + _ANY_FIELD
    + rb"\r\n(?i:content-length): ([1-9][0-9]{0,8}+)"
    + _ANY_FIELD
    + rb"\r\n\r\n"
)


def whole_body_of(data: bytes) -> int:
    """Where the body starts of what is one whole answer, well (200), its size told as everybody tells it, and its
    connection kept open; 0: it is another, or there is more to it."""
    match = _WHOLE.match(data)
    if match is None:
        return 0
    start = match.end()
    return start if start <= MAX_HEAD_BYTES and int(match[1]) == len(data) - start else 0


def _length(lower: bytes, start: int) -> int:
    end = lower.find(b"\r\n", start)
    text = lower[start : end if end >= 0 else None].strip(b" \t")
    if not text.isdigit() or len(text) > 15 or (end >= 0 and lower.find(b"\r\ncontent-length:", end) >= 0):
        raise UpstreamGarbled(f"The upstream sent a Content-Length that cannot be used: {text[:40]!r}.")
    return int(text)
