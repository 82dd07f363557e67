"""OpenAI's older completions: plain text continued, without a chat template."""

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from undercroft.errors import UpstreamGarbled
from undercroft.llm.types import Choice, Chunk, CompletionRequest, Source, Usage
from undercroft.wire import sse
from undercroft.wire.body import invalid, read
from undercroft.wire.errors import stream_error_frame
from undercroft.wire.openai import upstream
from undercroft.wire.openai.answers import Completion, CompletionChoice, CompletionUsage, completion_usage
from undercroft.wire.openai.inputs import Inputs, pieces_of, written
from undercroft.wire.openai.quirks import Adaptation
from undercroft.wire.openai.sampling import SamplingBody, asks_for_usage, sampling_fields, sampling_of
from undercroft.wire.openai.stream import SourceStream


class CompletionBody(SamplingBody, kw_only=True):
    """The fields of a request that undercroft reads; all others ride along in its source."""

    prompt: Inputs
    max_tokens: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    best_of: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    suffix: str | None = None


_decoder = msgspec.json.Decoder(CompletionBody)
_encode = msgspec.json.Encoder().encode


def decode(body: bytes) -> CompletionRequest:
    """The request, or InvalidRequest in OpenAI's words. `model` is empty where the caller named none."""
    asked = read(_decoder, body)
    if asked.best_of is not None and asked.best_of < (asked.n or 1):
        raise invalid("'best_of' must be greater than or equal to 'n'.", param="best_of")
    return CompletionRequest(
        model=asked.model or "",
        prompts=pieces_of(asked.prompt, "prompt"),
        sampling=sampling_of(asked, max_tokens=asked.max_tokens),
        stream=bool(asked.stream),
        include_usage=asks_for_usage(asked),
        logprobs=asked.logprobs,
        echo=bool(asked.echo),
        suffix=asked.suffix,
        best_of=asked.best_of,
        end_user=asked.user or "",
        source=Source("openai.completions", body),
    )


def whole(chunk: Chunk, *, id: str, created: int, model: str) -> bytes:
    """The body of a whole answer: the provider's own where it speaks this format, untouched."""
    if chunk.source is not None and chunk.whole:
        return chunk.source
    return _encode(
        Completion(
            id=id,
            created=created,
            model=model,
            choices=[
                CompletionChoice(
                    text=choice.text,
                    index=choice.index,
                    logprobs=choice.logprobs,
                    finish_reason=choice.finish_reason or "stop",
                )
                for choice in chunk.choices
            ],
            usage=completion_usage(chunk.usage or Usage()),
        )
    )


class CompletionStream:
    """Writes one answer's event stream, as `ChatStream` does for chat."""

    __slots__ = ("_created", "_id", "_model", "_source", "_usage")

    def __init__(self, *, id: str, created: int, model: str, include_usage: bool = False) -> None:
        self._id = id
        self._created = created
        self._model = model
        self._usage: CompletionUsage | UnsetType | None = None if include_usage else UNSET
        shared = {"id": id, "object": "text_completion", "created": created, "model": model}
        self._source = SourceStream(shared, include_usage=include_usage)

    def frame(self, chunk: Chunk) -> bytes:
        """The bytes of one chunk; empty when there is nothing to send yet."""
        if chunk.source is not None and not chunk.whole:
            return self._source.frame(chunk)
        self._source.note(chunk)
        if not chunk.choices:
            return b""
        choices = [
            CompletionChoice(
                text=choice.text,
                index=choice.index,
                logprobs=choice.logprobs,
                finish_reason=choice.finish_reason,
            )
            for choice in chunk.choices
        ]
        return sse.frame(
            _encode(
                Completion(id=self._id, created=self._created, model=self._model, choices=choices, usage=self._usage)
            )
        )

    def end(self, usage: Usage | None = None) -> bytes:
        """What closes a complete stream. `usage` is told where the provider told none."""
        return self._source.end(usage)

    def error(self, error: BaseException) -> bytes:
        """What closes a broken stream."""
        return stream_error_frame(error)


def encode_request(
    request: CompletionRequest, *, model: str, ask_usage: bool, adaptation: Adaptation | None = None
) -> bytes:
    """The provider's request: the caller's own bytes under the provider's model name, or written anew."""
    ask_usage = ask_usage and request.stream
    if request.source is not None and request.source.dialect == "openai.completions":
        return upstream.rewritten(request.source.body, model=model, ask_usage=ask_usage, adaptation=adaptation)
    fields: dict[str, Any] = {"model": model, "prompt": written(request.prompts)}
    fields |= sampling_fields(request.sampling)
    if request.sampling.max_tokens is not None:
        fields["max_tokens"] = request.sampling.max_tokens
    if request.stream:
        fields["stream"] = True
        if ask_usage or request.include_usage:
            fields["stream_options"] = {"include_usage": True}
    if request.logprobs is not None:
        fields["logprobs"] = request.logprobs
    if request.echo:
        fields["echo"] = True
    if request.suffix is not None:
        fields["suffix"] = request.suffix
    if request.best_of is not None:
        fields["best_of"] = request.best_of
    if request.end_user:
        fields["user"] = request.end_user
    if adaptation is not None:
        adaptation.apply(fields)
    return _encode(fields)


class ChoiceBody(msgspec.Struct, gc=False):
    """One continuation, or a piece of it."""

    text: str | None = None
    index: int | None = None
    logprobs: Any = None
    finish_reason: str | None = None


class CompletionAnswerBody(upstream.AnswerBody, gc=False):
    """What is read of an answer or piece; the rest rides along in its source."""

    choices: list[ChoiceBody] | None = None


_answer_decoder = msgspec.json.Decoder(CompletionAnswerBody, strict=False)


def decode_chunk(data: bytes) -> Chunk:
    """One event's payload. Raises the error it holds, or UpstreamGarbled."""
    body = upstream.read(_answer_decoder, data)
    usage, model = upstream.usage_of(body.usage), body.model or ""
    if body.choices is None:
        return Chunk(usage=usage, model=model)
    return Chunk(choices=_choices(body.choices), usage=usage, model=model, source=data)


def decode_whole(body: bytes) -> Chunk:
    """A whole answer. Raises the error it holds, or UpstreamGarbled."""
    answer = upstream.read(_answer_decoder, body)
    if not answer.choices:
        raise UpstreamGarbled("The provider's answer has no choices.")
    return Chunk(
        choices=_choices(answer.choices),
        usage=upstream.usage_of(answer.usage),
        model=answer.model or "",
        source=body,
        whole=True,
    )


def _choices(choices: Iterable[ChoiceBody]) -> tuple[Choice, ...]:
    return tuple(
        [
            Choice(
                index=choice.index or 0,
                text=choice.text or "",
                finish_reason=choice.finish_reason or None,
                logprobs=choice.logprobs,
            )
            for choice in choices
        ]
    )
