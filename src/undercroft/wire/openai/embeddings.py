"""OpenAI's embeddings: texts in, vectors out, in exactly the encoding that was asked for.

The Node SDK asks for base64 by default and silently returns `[]` for numbers; Python's takes both.
"""

import binascii
from array import array
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from undercroft.errors import UpstreamGarbled
from undercroft.llm.types import Chunk, EmbeddingsRequest, Source, Usage
from undercroft.wire.body import invalid, read, too_long, unsupported
from undercroft.wire.openai import upstream
from undercroft.wire.openai.answers import Embedding, EmbeddingList, EmbeddingUsage
from undercroft.wire.openai.inputs import Inputs, pieces_of, written
from undercroft.wire.openai.quirks import Adaptation

MAX_INPUTS: Final = 2048
MAX_TOKENS: Final = 300_000
"""Of one request. Only token ids can be counted here; of texts the provider knows."""

_ENCODINGS: Final = ("float", "base64")
_FLOAT32_BYTES: Final = 4


class EmbeddingsBody(msgspec.Struct, kw_only=True):
    """The fields of a request that undercroft reads; all others ride along in its source."""

    input: Inputs
    model: str | None = None
    dimensions: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    encoding_format: str | None = None
    user: str | None = None


_decoder = msgspec.json.Decoder(EmbeddingsBody)
_encode = msgspec.json.Encoder().encode


def decode(body: bytes) -> EmbeddingsRequest:
    """The request, or InvalidRequest in OpenAI's words. `model` is empty where the caller named none."""
    asked = read(_decoder, body)
    encoding = asked.encoding_format or "float"
    if encoding not in _ENCODINGS:
        raise unsupported("encoding_format", got=encoding, supported=_ENCODINGS)
    if isinstance(asked.input, list) and len(asked.input) > MAX_INPUTS:
        raise too_long("input", maximum=MAX_INPUTS, got=len(asked.input))
    inputs = pieces_of(asked.input, "input")
    tokens = sum(len(piece) for piece in inputs if not isinstance(piece, str))
    if tokens > MAX_TOKENS:
        raise invalid(
            f"Requested {tokens} tokens, max {MAX_TOKENS} tokens per request.",
            param="input",
            code="max_tokens_per_request",
        )
    for position, piece in enumerate(inputs):
        if not piece:
            where = f"input[{position}]" if isinstance(asked.input, list) else "input"
            raise invalid("Invalid 'input': input cannot be an empty string.", param=where, code="empty_string")
    return EmbeddingsRequest(
        model=asked.model or "",
        inputs=inputs,
        dimensions=asked.dimensions,
        base64=encoding == "base64",
        end_user=asked.user or "",
        source=Source("openai.embeddings", body),
    )


def whole(chunk: Chunk, *, model: str, base64: bool) -> bytes:
    """The body of the answer: the provider's own where `decode_whole` found it to be in the encoding asked for."""
    if chunk.source is not None:
        return chunk.source
    usage = chunk.usage or Usage()
    return _encode(
        EmbeddingList(
            data=[
                Embedding(index=index, embedding=_base64(vector) if base64 else _numbers(vector))
                for index, vector in enumerate(chunk.vectors)
            ],
            model=model,
            usage=EmbeddingUsage(prompt_tokens=usage.input, total_tokens=usage.total),
        )
    )


def encode_request(request: EmbeddingsRequest, *, model: str, adaptation: Adaptation | None = None) -> bytes:
    """The provider's request: the caller's own bytes under the provider's model name, or written anew."""
    if request.source is not None and request.source.dialect == "openai.embeddings":
        return upstream.rewritten(request.source.body, model=model, ask_usage=False, adaptation=adaptation)
    fields: dict[str, Any] = {"model": model, "input": written(request.inputs)}
    if request.base64:
        fields["encoding_format"] = "base64"
    if request.dimensions is not None:
        fields["dimensions"] = request.dimensions
    if request.end_user:
        fields["user"] = request.end_user
    if adaptation is not None:
        adaptation.apply(fields)
    return _encode(fields)


class VectorBody(msgspec.Struct, gc=False):
    """One vector; providers that do not know base64 send numbers whatever was asked for."""

    embedding: list[float] | str
    index: int | None = None


class EmbeddingsAnswerBody(upstream.AnswerBody, gc=False):
    """What is read of an answer; the rest rides along in its source."""

    data: list[VectorBody] | None = None


_answer_decoder = msgspec.json.Decoder(EmbeddingsAnswerBody)


def decode_whole(body: bytes, *, base64: bool) -> Chunk:
    """An answer, with its source only if every vector is in the encoding that the caller asked for.

    Raises the error it holds, or UpstreamGarbled.
    """
    answer = upstream.read(_answer_decoder, body)
    if not answer.data:
        raise UpstreamGarbled("The provider's answer has no vectors.")
    data = sorted(answer.data, key=lambda vector: vector.index or 0)
    is_as_asked = data == answer.data and all(isinstance(vector.embedding, str) == base64 for vector in data)
    return Chunk(
        vectors=tuple([_vector(vector.embedding) for vector in data]),
        usage=upstream.usage_of(answer.usage),
        model=answer.model or "",
        source=body if is_as_asked else None,
        whole=True,
    )


def _vector(embedding: list[float] | str) -> memoryview:
    if isinstance(embedding, list):
        return memoryview(array("f", embedding))
    try:
        data = binascii.a2b_base64(embedding, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise UpstreamGarbled("The provider sent a vector that is not base64.") from error
    if len(data) % _FLOAT32_BYTES:
        raise UpstreamGarbled("The provider sent a vector that is not a row of float32.")
    return memoryview(data).cast("f")  # type: ignore[return-value]  # memoryview[float] cannot be written before 3.14


def _numbers(vector: memoryview) -> list[float]:
    return vector.tolist()  # type: ignore[return-value]  # as above


def _base64(vector: memoryview) -> str:
    return binascii.b2a_base64(vector, newline=False).decode("ascii")
