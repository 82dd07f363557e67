"""What is kept of an answer: its pieces as they came, and what it cost."""

from collections.abc import Sequence
from typing import Final

import msgspec

from undercroft.llm.types import (
    COMPLETION_TOKENS,
    ChatRequest,
    Chunk,
    CompletionRequest,
    EmbeddingsRequest,
    Request,
)

_ENDED: Final = frozenset({"stop", "tool_calls"})
"""`length` is the caller's own wish only where it said `max_tokens`; what a filter cut is no answer."""
_FRAME_BYTES: Final = 64


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that was complete. A whole one has one chunk, a stream as many as it came in."""

    chunks: tuple[Chunk, ...]
    model: str
    """The public name that answered."""
    deployment: str
    cost_nano: int
    """What it cost, and a hit saves."""
    created_us: int
    expires_us: int
    dropped: tuple[str, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    """As MessagePack."""
    return _encoder.encode(entry)


def decode(data: bytes) -> Entry:
    """The reverse of `encode`. Raises msgspec.DecodeError on anything else."""
    entry = _decoder.decode(data)
    chunks = tuple(_with_floats(chunk) if chunk.vectors else chunk for chunk in entry.chunks)
    return msgspec.structs.replace(entry, chunks=chunks)


def _with_floats(chunk: Chunk) -> Chunk:
    return msgspec.structs.replace(chunk, vectors=tuple(vector.cast("B").cast("f") for vector in chunk.vectors))


def size_of(chunk: Chunk) -> int:
    """About how many bytes a chunk takes."""
    size = _FRAME_BYTES + len(chunk.source or b"") + sum(vector.nbytes for vector in chunk.vectors)
    for choice in chunk.choices:
        size += _FRAME_BYTES + len(choice.text) + len(choice.reasoning)
        size += sum(_FRAME_BYTES + len(call.arguments) for call in choice.tool_calls)
    return size


def is_complete(request: Request, chunks: Sequence[Chunk]) -> bool:
    """Whether these chunks are everything that was asked for, and nobody broke it off: only such answers are kept."""
    if isinstance(request, ChatRequest):
        wanted, limit = request.sampling.n, request.sampling.max_tokens
    elif isinstance(request, CompletionRequest):
        wanted = request.sampling.n * len(request.prompts)
        limit = request.sampling.max_tokens or COMPLETION_TOKENS
    elif isinstance(request, EmbeddingsRequest):
        return sum(len(chunk.vectors) for chunk in chunks) == len(request.inputs)
    else:
        return sum(len(chunk.verdicts) for chunk in chunks) == len(request.inputs)
    ended = _ENDED if limit is None else _ENDED | {"length"}
    reasons: dict[int, str | None] = {}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        if choice.refusal:
            return False
        reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
    return len(reasons) == wanted and all(reason in ended for reason in reasons.values())
