"""Takes a `multipart/form-data` body apart as it comes, a piece at a time (RFC 7578): no I/O, and no file in memory."""

import re
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from undercroft.errors import InvalidRequest

LONGEST_HEAD: Final = 16_384
MOST_PARTS: Final = 64
_BOUNDARY: Final = re.compile(
    r"""multipart/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*(?:;.*)?""", re.IGNORECASE
)
_PARAMETER: Final = re.compile(r';\s*([a-zA-Z*]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')
_ESCAPED: Final = re.compile(r'\\(["\\])')
_PERCENT: Final = {"%22": '"', "%0D": "\r", "%0A": "\n"}


class PartBegins(msgspec.Struct, frozen=True):
    """A field of the form; `filename` is that of a file."""

    name: str
    filename: str | None


class PartData(msgspec.Struct, frozen=True):
    """A piece of what the field holds."""

    data: bytes


class PartEnds(msgspec.Struct, frozen=True):
    """It is whole."""


Event = PartBegins | PartData | PartEnds


def boundary_of(content_type: str) -> bytes:
    """What stands between the parts. Raises InvalidRequest."""
    found = _BOUNDARY.fullmatch(content_type.strip())
    if found is None:
        raise InvalidRequest(
            "The body must be multipart/form-data with a boundary.",
            code="invalid_content_type",
            hint="Send the form as `curl -F` and the SDKs do.",
        )
    return (found[1] or found[2]).encode("latin-1")


class MultipartParser:
    """Feed it the body as it comes, then `close`. Raises InvalidRequest for what is no such form.

    However the body is cut, the pieces of each part are the same bytes in the same order.
    """

    def __init__(self, boundary: bytes) -> None:
        self._separator = b"\r\n--" + boundary
        # The first one may stand at the very beginning.
        self._waiting = bytearray(b"\r\n")
        self._state: Literal["preamble", "separator", "head", "data", "over"] = "preamble"
        self._parts = 0
        self._skipped = 0
        """Bytes of what waits that are no data: the line end after a part's head."""

    def feed(self, piece: bytes) -> Iterator[Event]:
        """What this piece of the body adds."""
        self._waiting += piece
        while True:
            match self._state:
                case "preamble":
                    if not self._skip_preamble():
                        return
                case "separator":
                    if not self._end_separator():
                        return
                case "head":
                    begun = self._head()
                    if begun is None:
                        return
                    yield begun
                case "data":
                    data, is_whole = self._take_data()
                    if data:
                        yield PartData(data)
                    if not is_whole:
                        return
                    yield PartEnds()
                case "over":
                    self._waiting.clear()  # an epilogue means nothing
                    return

    def close(self) -> None:
        """The body has ended. Raises InvalidRequest when the form has not."""
        if self._state != "over":
            raise _broken("it ends in the middle of the form")

    def _skip_preamble(self) -> bool:
        found = self._waiting.find(self._separator)
        if found < 0:
            del self._waiting[: max(0, len(self._waiting) - len(self._separator))]
            return False
        del self._waiting[: found + len(self._separator)]
        self._state = "separator"
        return True

    def _end_separator(self) -> bool:
        """After a separator comes the end of its line, or `--` and the end of the form."""
        if len(self._waiting) < 2:
            return False
        if self._waiting.startswith(b"--"):
            self._state = "over"
            return True
        end = self._waiting.find(b"\r\n")
        padding = self._waiting[: end if end >= 0 else len(self._waiting)]
        if padding.strip(b" \t\r") or len(padding) > LONGEST_HEAD:
            raise _broken("a boundary is followed by something else on its line")
        if end < 0:
            return False
        del self._waiting[: end + 2]
        self._state = "head"
        return True

    def _head(self) -> PartBegins | None:
        end = 0 if self._waiting.startswith(b"\r\n") else self._waiting.find(b"\r\n\r\n") + 2
        if end == 1:
            if len(self._waiting) > LONGEST_HEAD:
                raise _broken(f"the head of a part is longer than {LONGEST_HEAD} bytes")
            return None
        if end > LONGEST_HEAD:
            raise _broken(f"the head of a part is longer than {LONGEST_HEAD} bytes")
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _broken(f"it has more than {MOST_PARTS} parts")
        begun = _begun(bytes(self._waiting[:end]))
        # The line end before the data stays: an empty part's separator begins with it.
        del self._waiting[:end]
        self._state = "data"
        self._skipped = 2
        return begun

    def _take_data(self) -> tuple[bytes, bool]:
        """What is certainly data (a separator may have begun in the last bytes), and whether the part ends with it."""
        found = self._waiting.find(self._separator)
        if found >= 0:
            data = bytes(self._waiting[self._skipped : found])
            del self._waiting[: found + len(self._separator)]
            self._state = "separator"
            return data, True
        safe = len(self._waiting) - len(self._separator) + 1
        if safe <= self._skipped:
            return b"", False
        data = bytes(self._waiting[self._skipped : safe])
        del self._waiting[:safe]
        self._skipped = 0
        return data, False


def _begun(head: bytes) -> PartBegins:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            return _disposition(value)
    raise _broken("a part has no content-disposition")


def _disposition(value: bytes) -> PartBegins:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    named: dict[str, str] = {}
    for found in _PARAMETER.finditer(text):
        quoted, plain = found[2], found[3]
        named[found[1].lower()] = _unescaped(quoted) if quoted is not None else plain
    if text.partition(";")[0].strip().lower() != "form-data" or "name" not in named:
        raise _broken("a part has no name")
    return PartBegins(named["name"], named.get("filename"))


def _unescaped(text: str) -> str:
    """Browsers and httpx write `%22` for a quote, older clients `\\"`."""
    text = _ESCAPED.sub(r"\1", text)
    for escape, character in _PERCENT.items():
        text = text.replace(escape, character)
    return text


def _broken(why: str) -> InvalidRequest:
    return InvalidRequest(f"The multipart body cannot be read: {why}.", code="invalid_form")
