"""Writes requests for Gemini's embeddings and reads its vectors: one input by itself, several as a batch."""

from array import array
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from undercroft.errors import InvalidRequest, UpstreamGarbled
from undercroft.llm.types import Chunk
from undercroft.record import Usage
from undercroft.wire.gemini.failures import error_in_answer

MOST_AT_ONCE: Final = 100
"""Inputs that one batch may hold."""

_encode = msgspec.json.Encoder().encode


class ValuesBody(msgspec.Struct, gc=False):
    """One vector."""

    values: list[float]


class UsageBody(msgspec.Struct, rename="camel", gc=False):
    """Told by newer models only."""

    prompt_token_count: int = 0


class EmbeddingsBody(msgspec.Struct, rename="camel", gc=False):
    """The answer to one input (`embedding`) or to a batch (`embeddings`)."""

    embedding: ValuesBody | None = None
    embeddings: list[ValuesBody] | None = None
    usage_metadata: UsageBody | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(EmbeddingsBody, strict=False)


def encode_embeddings(inputs: Sequence[str | tuple[int, ...]], *, model: str, dimensions: int | None) -> bytes:
    """The body for embedContent (one input) or batchEmbedContents. Raises InvalidRequest."""
    asked = [_input(each, model, dimensions) for each in inputs]
    return _encode(asked[0] if len(asked) == 1 else {"requests": asked})


def _input(text: str | tuple[int, ...], model: str, dimensions: int | None) -> dict[str, Any]:
    if not isinstance(text, str):
        raise InvalidRequest(
            "This model takes texts: token ids mean nothing to it.",
            code="unsupported_parameter",
            param="input",
            hint="Send the text itself.",
        )
    fields: dict[str, Any] = {"model": model, "content": {"parts": [{"text": text}]}}
    if dimensions is not None:
        fields["outputDimensionality"] = dimensions
    return fields


def decode_embeddings(body: bytes) -> Chunk:
    """The vectors, in order. Raises the error the answer holds, or UpstreamGarbled."""
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamGarbled("The provider sent something that is not in the format of its vectors.") from error
    if answer.error is not None:
        raise error_in_answer(answer.error)
    values = answer.embeddings or ([answer.embedding] if answer.embedding is not None else [])
    told = answer.usage_metadata
    return Chunk(
        vectors=tuple([memoryview(array("f", each.values)) for each in values]),
        usage=Usage(input=told.prompt_token_count) if told is not None and told.prompt_token_count else None,
    )
