"""Server-sent events: read however their bytes were cut, and written."""

from typing import Final

from undercroft.errors import UpstreamGarbled

DONE: Final = b"[DONE]"
"""The payload that ends OpenAI's streams."""
DONE_FRAME: Final = b"data: [DONE]\n\n"

MAX_EVENT_BYTES: Final = 10 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


def frame(payload: bytes) -> bytes:
    """One event. A payload of several lines gets one `data:` each."""
    if b"\n" in payload:
        payload = payload.replace(b"\n", b"\ndata: ")
    return b"data: %b\n\n" % payload


class Events:
    """Takes a stream's bytes in pieces of any size and gives the payload of each event that is complete.

    Comments, `event:`, `id:` and `retry:` lines are skipped, as are events without data. Lines may end in LF, CRLF or
    CR: CR is turned into LF up front, which is safe because JSON never holds a raw one. Errors that servers send in
    ways of their own (`error: {…}`, a bare object, an object of the event `error`) come as `{"error": …}`.
    """

    __slots__ = ("_after_cr", "_begun", "_max_bytes", "_rest", "_searched")

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._rest = bytearray()
        self._searched = 0
        """How much of `_rest` is known to hold no end of an event: a long event is not searched again and again."""
        self._begun = False
        self._after_cr = False
        self._max_bytes = max_event_bytes

    def feed(self, piece: bytes) -> list[bytes]:
        """The payloads completed by this piece. Raises UpstreamGarbled when an event outgrows the limit."""
        has_cr = self._after_cr or 13 in piece
        if not has_cr and not self._rest and piece[:6] == b"data: " and len(piece) <= self._max_bytes:
            end = piece.find(b"\n")
            if end == len(piece) - 2 and end > 6 and piece[-1:] == b"\n":
                self._begun = True
                return [piece[6:end]]  # the usual case: one whole event of one line
            if piece[-2:] == b"\n\n":
                payloads = piece[6:-2].split(b"\n\ndata: ")
                if piece.count(b"\n") == 2 * len(payloads) and all(payloads):
                    self._begun = True
                    return payloads  # several such
        if not has_cr and not self._rest and (payload := _of_named(piece)) and len(piece) <= self._max_bytes:
            self._begun = True
            return [payload]
        if has_cr:
            piece = self._with_plain_line_ends(piece)
        if self._rest:
            self._rest += piece
            if self._rest.find(b"\n\n", self._searched) < 0:
                self._keep(len(self._rest))
                return []
            piece = bytes(self._rest)
            self._rest.clear()
        *events, rest = piece.split(b"\n\n")
        if rest:
            self._rest += rest
        self._keep(len(rest))
        payloads = []
        for event in events:
            if payload := self._payload(event):
                payloads.append(payload)
            self._begun = True
        return payloads

    @property
    def is_between(self) -> bool:
        """Whether the next byte begins an event."""
        return self._begun and not self._rest and not self._after_cr

    def end(self) -> bool:
        """Whether the stream stopped in the middle of an event."""
        return bool(self._rest.strip())

    def _with_plain_line_ends(self, piece: bytes) -> bytes:
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_cr = False
        if piece:
            self._after_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, size: int) -> None:
        if size - self._rest.endswith(b"\n") > self._max_bytes:  # that one may belong to the event's end
            raise self._too_long()
        self._searched = max(size - 1, 0)

    def _payload(self, event: bytes) -> bytes:
        """The data lines of an event that is not of the usual form, joined."""
        if len(event) > self._max_bytes:
            raise self._too_long()
        if not self._begun:
            event = event.removeprefix(_BOM)
        lines = []
        kind = b""
        for line in event.split(b"\n"):
            field, _, value = line.lstrip(b"\0").partition(b":")  # some proxies pad with NUL to keep a line open
            if field == b"data":
                lines.append(value.removeprefix(b" "))
            elif field == b"event":
                kind = value.strip()
            elif field == b"error" and value.lstrip()[:1] == b"{":  # llama.cpp's server
                return b'{"error":%b}' % value
        payload = b"\n".join(lines)
        if not payload and (bare := event.strip(b"\0\n "))[:1] == b"{":
            return bare  # no event at all: what a server says that breaks in the middle of its stream
        if kind == b"error" and payload[:1] == b"{" and b'"error"' not in payload:
            return b'{"error":%b}' % payload
        return payload

    def _too_long(self) -> UpstreamGarbled:
        return UpstreamGarbled(f"The provider sent an event of more than {self._max_bytes} bytes.")


def _of_named(piece: bytes) -> bytes:
    """The payload of a piece that is one whole event of one line after its name; else empty, as for errors."""
    if piece[:7] != b"event: " or piece[7:12] == b"error":
        return b""
    start = piece.find(b"\n") + 7
    end = piece.find(b"\n", start)
    is_whole = piece[start - 6 : start] == b"data: " and end == len(piece) - 2 and piece[-1:] == b"\n"
    return piece[start:end] if is_whole else b""
