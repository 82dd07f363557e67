"""Answers from a script: for tests and demos, with no model and no network."""

import hashlib
import re
from array import array
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from msgspec.structs import replace

from undercroft.clock import Clock
from undercroft.errors import ConfigurationError, InvalidRequest, UndercroftError
from undercroft.llm.reply import Reply
from undercroft.llm.types import (
    COMPLETION_TOKENS,
    ChatRequest,
    Choice,
    Chunk,
    CompletionRequest,
    EmbeddingsRequest,
    Request,
    Sampling,
    Usage,
)

Line = str | UndercroftError
"""What is said, or the error raised instead."""
Script = Line | Sequence[Line] | Callable[[Request], Line]

_DIMENSIONS: Final = 16
_MAX_DIMENSIONS: Final = 4096
_PIECE: Final = re.compile(r"\s*\S+|\s+$")


class Scripted:
    """A ChatProvider, CompletionProvider and EmbeddingProvider. A word counts as a token.

    Of several lines each call takes the next one, and the last is said from then on. Vectors come from the text alone.
    `max_tokens`, `stop` and `n` are obeyed, tools and schemas are not.
    """

    def __init__(self, script: Script, *, name: str = "scripted", chunk_delay_s: float = 0.0, clock: Clock) -> None:
        self.name = name
        self._script: Callable[[Request], Line] = script if callable(script) else _lines(script)
        self._chunk_delay_s = chunk_delay_s
        self._clock = clock

    async def send(self, request: ChatRequest, /) -> Reply:
        heard = sum(_count(message.text()) for message in request.messages)
        return await self._say(request, heard=heard, count=request.sampling.n, role="assistant")

    async def complete(self, request: CompletionRequest, /) -> Reply:
        heard = sum(_count(prompt) for prompt in request.prompts)
        if request.sampling.max_tokens is None:
            request = replace(request, sampling=replace(request.sampling, max_tokens=COMPLETION_TOKENS))
        return await self._say(request, heard=heard, count=request.sampling.n * len(request.prompts), role=None)

    async def embed(self, request: EmbeddingsRequest, /) -> Reply:
        self._next(request)
        dimensions = _DIMENSIONS if request.dimensions is None else request.dimensions
        if not 0 < dimensions <= _MAX_DIMENSIONS:
            raise InvalidRequest(f"dimensions must be between 1 and {_MAX_DIMENSIONS}.", param="dimensions")
        vectors = tuple(_vector(text, dimensions) for text in request.inputs)
        usage = Usage(input=sum(_count(text) for text in request.inputs))
        return Reply(whole=Chunk(vectors=vectors, usage=usage, model=request.model))

    def _next(self, request: Request) -> str:
        line = self._script(request)
        if isinstance(line, UndercroftError):
            raise line.with_traceback(None)  # it may be raised again and again
        return line

    async def _say(
        self, request: ChatRequest | CompletionRequest, *, heard: int, count: int, role: str | None
    ) -> Reply:
        pieces, reason = _spoken(self._next(request), request.sampling)
        usage = Usage(input=heard, output=len(pieces) * count)
        if request.stream:
            await self._pause(1)
            chunks = self._stream(pieces, reason, usage, count=count, role=role, model=request.model)
            return Reply(chunks, has_begun=True)  # its first piece is a word
        await self._pause(len(pieces))
        text = "".join(pieces)
        choices = tuple(Choice(index=index, role=role, text=text, finish_reason=reason) for index in range(count))
        return Reply(whole=Chunk(choices=choices, usage=usage, model=request.model))

    async def _stream(
        self, pieces: list[str], reason: str, usage: Usage, *, count: int, role: str | None, model: str
    ) -> AsyncGenerator[Chunk, None]:
        for position, piece in enumerate(pieces):
            if position:
                await self._pause(1)
            first_role = None if position else role
            for index in range(count):
                yield Chunk(choices=(Choice(index=index, role=first_role, text=piece),), model=model)
        ends = tuple(Choice(index=index, finish_reason=reason) for index in range(count))
        yield Chunk(choices=ends, usage=usage, model=model)

    async def _pause(self, pieces: int) -> None:
        if self._chunk_delay_s:
            await self._clock.sleep(self._chunk_delay_s * pieces)


def _lines(script: Line | Sequence[Line]) -> Callable[[Request], Line]:
    lines = [script] if isinstance(script, str | UndercroftError) else list(script)
    if not lines:
        raise ConfigurationError("A script needs at least one line.")

    def next_line(_request: Request) -> Line:
        return lines.pop(0) if len(lines) > 1 else lines[0]

    return next_line


def _spoken(text: str, sampling: Sampling) -> tuple[list[str], str]:
    """The words that are said, and why no more."""
    for stop in sampling.stop:
        text = text.partition(stop)[0]
    pieces = _PIECE.findall(text)
    if sampling.max_tokens is not None and len(pieces) > sampling.max_tokens:
        return pieces[: sampling.max_tokens], "length"
    return pieces, "stop"


def _count(text: str | tuple[int, ...]) -> int:
    return len(text.split()) if isinstance(text, str) else len(text)


def _vector(text: str | tuple[int, ...], dimensions: int) -> memoryview:
    """A direction that only this text has, of length 1."""
    digest = hashlib.shake_256(ascii(text).encode()).digest(2 * dimensions)
    numbers = [int.from_bytes(digest[at : at + 2], "little") - 32767.5 for at in range(0, len(digest), 2)]
    length = sum(number * number for number in numbers) ** 0.5
    return memoryview(array("f", (number / length for number in numbers)))
