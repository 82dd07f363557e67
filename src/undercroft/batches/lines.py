"""The input of a batch, line by line: what is wrong with it is said with the line's number."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

import msgspec

from undercroft.batches.types import Line, LineError
from undercroft.errors import InvalidRequest, UndercroftError
from undercroft.wire.body import read
from undercroft.wire.duplicates import demand_unambiguous

LONGEST_LINE: Final = 20_000_000
"""As long as a request's body may be elsewhere."""
LONGEST_ID: Final = 512


class LineRefused(Exception):
    """A line that makes the whole batch fail."""

    def __init__(self, error: LineError) -> None:
        super().__init__(error.message)
        self.error = error


class _Body(msgspec.Struct, kw_only=True):
    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


_bodies = msgspec.json.Decoder(_Body)


async def split(pieces: AsyncIterable[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """Numbers and texts of the lines that hold something. Raises LineRefused for one without end."""
    number = 1
    waiting = bytearray()
    async for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            waiting += piece[start:end]
            if line := waiting.strip():
                yield number, bytes(line)
            waiting.clear()
            start, number = end + 1, number + 1
        waiting += piece[start:]
        if len(waiting) > LONGEST_LINE:
            raise LineRefused(
                LineError(code="line_too_long", message=f"The line has more than {LONGEST_LINE} bytes.", line=number)
            )
    if line := waiting.strip():
        yield number, bytes(line)


def parse(number: int, text: bytes, *, endpoint: str) -> Line:
    """A line's fields. Raises LineRefused."""
    if number == 1:
        text = text.removeprefix(b"\xef\xbb\xbf")  # as some editors begin a file
    try:
        found = read(_bodies, text)
        demand_unambiguous(text)
    except InvalidRequest as error:
        code = "invalid_json_line" if error.code == "invalid_json" else error.code
        raise refused(number, error, code=code) from error
    for name, got, wanted in (("method", found.method, "POST"), ("url", found.url, endpoint)):
        if got != wanted:
            message = f"Invalid '{name}': the batch is for {wanted}, and this is '{got[:100]}'."
            raise LineRefused(LineError(code=f"invalid_{name}", message=message, param=name, line=number))
    if not 0 < len(found.custom_id) <= LONGEST_ID:
        message = f"'custom_id' takes 1 to {LONGEST_ID} characters."
        raise LineRefused(LineError(code="invalid_custom_id", message=message, param="custom_id", line=number))
    return Line(number=number, custom_id=found.custom_id, body=bytes(found.body))


def refused(number: int, error: UndercroftError, *, code: str | None = None, within: str = "") -> LineRefused:
    """A request's mistake as that of a line."""
    param = f"{within}.{error.param}" if within and error.param else error.param or within or None
    return LineRefused(LineError(code=code or error.code, message=str(error), param=param, line=number))
