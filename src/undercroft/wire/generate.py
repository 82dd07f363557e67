"""`/api/generate`: a prompt in, a text out. The prompt comes as a query parameter, as JSON, or half and half."""

from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, Chunk, Message, Sampling, Usage
from undercroft.money import format_usd
from undercroft.wire import sse
from undercroft.wire.body import missing, read, refusal
from undercroft.wire.errors import stream_error_frame
from undercroft.wire.openai.answers import CompletionUsage, completion_usage
from undercroft.wire.openai.sampling import Positive


class GenerateRequest(msgspec.Struct, kw_only=True):
    """What `/api/generate` takes."""

    prompt: str | None = None
    model: str | None = None
    max_tokens: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    stream: bool | None = None


class GenerateAnswer(msgspec.Struct, kw_only=True):
    """What `/api/generate` answers. `cost` is an exact decimal string in USD."""

    result: str
    model: str
    usage: CompletionUsage
    cost: str


_decoder = msgspec.json.Decoder(GenerateRequest)
_encode = msgspec.json.Encoder().encode


def decode(query: bytes, body: bytes) -> ChatRequest:
    """The request as a conversation of one message, or InvalidRequest. The body's fields win over the query's."""
    asked = read(_decoder, body) if body.strip() else GenerateRequest()
    if query:
        asked = _merged(asked, _from_query(query))
    if asked.prompt is None:
        raise missing("prompt")
    return ChatRequest(
        model=asked.model or "",
        messages=(Message(role="user", content=asked.prompt),),
        sampling=Sampling(temperature=asked.temperature, max_tokens=asked.max_tokens),
        stream=bool(asked.stream),
    )


def _from_query(query: bytes) -> GenerateRequest:
    try:
        fields: dict[str, Any] = dict(
            parse_qsl(query.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict")
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest("The query string is not percent-encoded UTF-8.", code="invalid_query") from error
    try:
        return msgspec.convert(fields, GenerateRequest, strict=False)
    except msgspec.ValidationError as error:
        raise refusal(error, fields) from error


def _merged(body: GenerateRequest, query: GenerateRequest) -> GenerateRequest:
    told = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not None}
    return msgspec.structs.replace(query, **told)


def whole(chunk: Chunk, *, model: str, usage: Usage, cost_nano: int) -> bytes:
    """The answer to a call that did not ask for a stream."""
    return _encode(_answer(chunk.text(), model, usage, cost_nano))


def _answer(text: str, model: str, usage: Usage, cost_nano: int) -> GenerateAnswer:
    return GenerateAnswer(result=text, model=model, usage=completion_usage(usage), cost=format_usd(cost_nano))


class GenerateStream:
    """Writes one answer's event stream: texts, then the whole result with its cost."""

    __slots__ = ("_model", "_texts")

    def __init__(self, *, model: str) -> None:
        self._model = model
        self._texts: list[str] = []

    def frame(self, chunk: Chunk) -> bytes:
        """The bytes of one chunk; empty when it has no text."""
        text = chunk.text()
        if not text:
            return b""
        self._texts.append(text)
        return sse.frame(_encode({"text": text}))

    def end(self, usage: Usage, cost_nano: int) -> bytes:
        """What closes a complete stream."""
        answer = _answer("".join(self._texts), self._model, usage, cost_nano)
        return sse.frame(_encode(answer)) + sse.DONE_FRAME

    def error(self, error: BaseException) -> bytes:
        """What closes a broken stream."""
        return stream_error_frame(error)
