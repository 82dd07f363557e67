"""A stream that may become longer than was held for it: more is held as it grows, or it is cut."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, Final

from undercroft.gateway.call import Trail
from undercroft.llm.reply import ChunkStream
from undercroft.llm.types import Chunk

CHARACTERS_PER_TOKEN: Final = 3
"""Fewer than English text has, so that more is held before what was held is used up."""


class Growing(ChunkStream):
    """Passes pieces on. Past `tokens` it calls `grow`, which holds more and says for how many tokens in all that is.

    What `grow` raises ends the stream: what was said up to there is booked, and the provider is told to stop.
    """

    __slots__ = ("_chunks", "_grow", "_room", "_trail")

    def __init__(
        self,
        chunks: AsyncGenerator[Chunk, None],
        trail: Trail,
        *,
        tokens: int,
        grow: Callable[[], Awaitable[int]],
    ) -> None:
        self._chunks = chunks
        self._trail = trail
        self._room = tokens * CHARACTERS_PER_TOKEN
        self._grow = grow

    def __anext__(self) -> Coroutine[Any, Any, Chunk]:  # the stream's own, as long as there is room
        return self._chunks.__anext__() if self._trail.produced_characters <= self._room else self._grown()

    async def _grown(self) -> Chunk:
        self._room = await self._grow() * CHARACTERS_PER_TOKEN
        return await self._chunks.__anext__()

    async def aclose(self) -> None:
        await self._chunks.aclose()
