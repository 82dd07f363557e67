"""An answer on its way: a stream of chunks with one owner, who must read it to the end or close it."""

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from types import TracebackType
from typing import Any, Final

from undercroft.llm.types import Choice, Chunk, ToolCallDelta, Usage

MOST_HELD: Final = 256
"""Chunks without a word that are kept back before a stream is passed on all the same."""


class ChunkStream(AsyncGenerator[Chunk, None]):
    """A stream as a class of its own, which adds `__anext__` and `aclose`.

    Closing an `async def` with `yield` before its first step runs none of its code: the upstream would go on talking.
    """

    __slots__ = ()

    async def asend(self, _value: None, /) -> Chunk:
        return await self.__anext__()

    async def athrow(
        self,
        kind: type[BaseException] | BaseException,
        _value: BaseException | object = None,
        _traceback: TracebackType | None = None,
        /,
    ) -> Chunk:
        await self.aclose()
        raise kind


class Reply:
    """What a provider or stage returns. Whoever holds it last reads `chunks` to the end or calls `aclose` on them:
    a provider stops its upstream when the generator is closed.

    A whole answer is a stream of one chunk; `whole` is that chunk where it is there already, so that nobody has to
    take the long way to it.
    """

    __slots__ = ("_chunks", "dropped", "has_begun", "limits", "whole")

    def __init__(
        self,
        chunks: AsyncGenerator[Chunk, None] | None = None,
        *,
        whole: Chunk | None = None,
        dropped: tuple[str, ...] = (),
        has_begun: bool = False,
        limits: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        assert (chunks is None) != (whole is None), "either a stream or a whole answer"
        self._chunks = chunks
        self.whole = whole
        self.dropped = dropped
        """What of the request the provider was not asked for, because it cannot do it (`llm/unsupported.py`)."""
        self.has_begun = has_begun
        """The stream's first words are there already (`Chunk.says_something`), so that nobody needs to look."""
        self.limits = limits
        """What the provider says of its rate limits: header fields for the caller, who may slow down by them."""

    @property
    def chunks(self) -> AsyncGenerator[Chunk, None]:
        """The answer piece by piece."""
        if self._chunks is None:
            assert self.whole is not None
            self._chunks = one(self.whole)
        return self._chunks

    async def read(self) -> Chunk:
        """The whole answer as one chunk: texts joined per choice, the last usage, tool calls put together."""
        if self.whole is not None:
            return self.whole
        async with aclosing(self.chunks) as chunks:
            return await joined(chunks)


async def one(chunk: Chunk) -> AsyncGenerator[Chunk, None]:
    """A stream of one chunk: the form of every whole answer."""
    yield chunk


async def joined(chunks: AsyncIterable[Chunk]) -> Chunk:
    """Adds chunks up. A single chunk comes back as it is, `source` included."""
    first: Chunk | None = None
    rest: list[Chunk] = []
    async for chunk in chunks:
        if first is None:
            first = chunk
        else:
            rest.append(chunk)
    if first is None:
        return Chunk()
    if not rest:
        return first
    return _add([first, *rest])


def _add(chunks: list[Chunk]) -> Chunk:
    by_index: dict[int, list[Choice]] = {}
    usage: Usage | None = None
    model = ""
    for chunk in chunks:
        usage = chunk.usage or usage
        model = chunk.model or model
        for choice in chunk.choices:
            by_index.setdefault(choice.index, []).append(choice)
    vectors = tuple(vector for chunk in chunks for vector in chunk.vectors)
    choices = tuple(_add_choice(index, parts) for index, parts in sorted(by_index.items()))
    return Chunk(choices=choices, vectors=vectors, usage=usage, model=model)


def _add_choice(index: int, parts: list[Choice]) -> Choice:
    return Choice(
        index=index,
        role=next((part.role for part in parts if part.role), None),
        text="".join(part.text for part in parts),
        reasoning="".join(part.reasoning for part in parts),
        signature="".join(part.signature for part in parts),
        refusal="".join(part.refusal for part in parts),
        tool_calls=_add_tool_calls(parts),
        finish_reason=next((part.finish_reason for part in reversed(parts) if part.finish_reason), None),
        stop_sequence=next((part.stop_sequence for part in reversed(parts) if part.stop_sequence), None),
        logprobs=_add_logprobs(parts),
    )


def _add_tool_calls(parts: list[Choice]) -> tuple[ToolCallDelta, ...]:
    calls: dict[int, ToolCallDelta] = {}
    for delta in (delta for part in parts for delta in part.tool_calls):
        known = calls.get(delta.index, ToolCallDelta(index=delta.index))
        calls[delta.index] = ToolCallDelta(
            index=delta.index,
            id=known.id or delta.id,
            name=known.name or delta.name,
            arguments=known.arguments + delta.arguments,
            type=delta.type if delta.type != "function" else known.type,
        )
    return tuple(calls[index] for index in sorted(calls))


def _add_logprobs(parts: list[Choice]) -> Any:
    """Chat streams carry `{"content": [one entry per token]}` per chunk: the lists are joined."""
    seen = [part.logprobs for part in parts if part.logprobs is not None]
    if not seen:
        return None
    merged: dict[str, Any] = {}
    for entry in seen:
        for key, value in entry.items():
            known = merged.get(key)
            merged[key] = known + value if isinstance(known, list) and isinstance(value, list) else value
    return merged
