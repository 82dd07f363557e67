"""Looks at every line of a batch's input before the first is asked."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from typing import Final, Protocol

import msgspec

from undercroft.batches.lines import LineRefused, parse, refused, split
from undercroft.batches.types import LINES, Line, LineError
from undercroft.errors import UndercroftError

MOST_ERRORS: Final = 100
"""Then nobody reads on."""
CHUNK_LINES: Final = 200
CHUNK_BYTES: Final = 1_000_000


class Checked(msgspec.Struct, frozen=True):
    """What a request asks for."""

    model: str
    """The public name of the model that will answer."""
    inputs: int = 0
    """Of embeddings: how many texts."""


class Checker(Protocol):
    """Knows whether a request can be asked."""

    def look(self, endpoint: str, body: bytes, /) -> Checked:
        """Raises InvalidRequest and NotFound. Called in any thread."""
        ...


class Validation:
    """What is known of an input so far."""

    def __init__(self, endpoint: str, checker: Checker) -> None:
        self._endpoint = endpoint
        self._checker = checker
        self._seen: dict[str, int] = {}
        self._models: set[str] = set()
        self._inputs = 0
        self.total = 0
        self.errors: list[LineError] = []

    @property
    def is_hopeless(self) -> bool:
        """Nothing that may come would change that it fails, or tell its sender more."""
        return len(self.errors) >= MOST_ERRORS or self.total > LINES

    @property
    def model(self) -> str:
        """The only model that is asked for; empty when there are several."""
        return next(iter(self._models)) if len(self._models) == 1 else ""

    def look(self, lines: Sequence[tuple[int, bytes]]) -> None:
        """The next lines."""
        for number, text in lines:
            if self.is_hopeless:
                return
            self.total += 1
            try:
                self._look(parse(number, text, endpoint=self._endpoint))
            except LineRefused as error:
                self.errors.append(error.error)

    def _look(self, line: Line) -> None:
        earlier = self._seen.setdefault(line.custom_id, line.number)
        if earlier != line.number:
            message = f"The custom_id '{line.custom_id[:100]}' is that of line {earlier}, too."
            raise LineRefused(
                LineError(code="duplicate_custom_id", message=message, param="custom_id", line=line.number)
            )
        try:
            checked = self._checker.look(self._endpoint, line.body)
        except UndercroftError as error:
            raise refused(line.number, error, within="body") from error
        self._models.add(checked.model)
        self._inputs += checked.inputs

    def close(self) -> None:
        """All lines have been looked at."""
        if not self.total and not self.errors:
            self.errors.append(LineError(code="empty_file", message="The input holds no line."))
        if self.total > LINES:
            self.errors.append(LineError(code="too_many_lines", message=f"A batch takes {LINES} lines."))
        if self._inputs > LINES:
            message = f"A batch takes {LINES} inputs for embeddings, in all its lines together."
            self.errors.append(LineError(code="too_many_inputs", message=message))


async def chunks(
    pieces: AsyncIterable[bytes], most: int = CHUNK_LINES
) -> AsyncGenerator[list[tuple[int, bytes]], None]:
    """Lines, some at a time: few enough for memory, and for one transaction. Raises LineRefused."""
    chunk: list[tuple[int, bytes]] = []
    size = 0
    async for number, text in split(pieces):
        chunk.append((number, text))
        size += len(text)
        if len(chunk) >= most or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
