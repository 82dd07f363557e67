"""What all calls to a provider of OpenAI's format share: rewriting a request, reading usage and errors."""

from typing import Any, TypeVar

import msgspec

from undercroft.errors import UpstreamGarbled
from undercroft.record import Usage
from undercroft.wire.openai.failures import error_in_answer
from undercroft.wire.openai.quirks import Adaptation

T = TypeVar("T", bound="AnswerBody")

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_options = msgspec.json.Decoder(dict[str, Any] | None)


class DetailsBody(msgspec.Struct, gc=False):
    """Parts of a token count."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class UsageBody(msgspec.Struct, gc=False):
    """Usage as providers tell it: any part may be missing or null."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: DetailsBody | None = None
    completion_tokens_details: DetailsBody | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's word for cached tokens."""
    cached_tokens: int | None = None
    """Moonshot's."""


class AnswerBody(msgspec.Struct, gc=False):
    """What any answer, or piece of one, may hold besides its content."""

    object: str | None = None
    model: str | None = None
    usage: UsageBody | None = None
    error: Any = None


def rewritten(body: bytes, *, model: str, ask_usage: bool, adaptation: Adaptation | None = None) -> bytes:
    """The caller's own request for another model; `ask_usage` adds to its stream options, nothing else changes but
    what the target's quirks demand."""
    fields: dict[str, Any] = _fields.decode(body)
    fields["model"] = model
    if ask_usage:
        told = fields.get("stream_options")
        options = (_options.decode(told) if told is not None else None) or {}
        fields["stream_options"] = {**options, "include_usage": True}
    if adaptation is not None:
        adaptation.apply(fields)
    return _encode(fields)


def read(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """A provider's JSON. Raises the error it tells of, or UpstreamGarbled for what is not in the format."""
    try:
        body = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(data) from error
    if body.error is not None or body.object == "error":
        raise _refused(data)
    return body


def _refused(data: bytes) -> Exception:
    """An error object need not fit the answer's type, so it is read for itself."""
    try:
        told = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        what = "a web page" if data.lstrip()[:1] == b"<" else "something that is not JSON"
        return UpstreamGarbled(f"The provider sent {what} where a piece of its answer was expected.")
    if isinstance(told, dict) and (told.get("error") or told.get("object") == "error"):
        return error_in_answer(told)
    return UpstreamGarbled("The provider sent JSON that is not in the format of its answers.")


def usage_of(body: UsageBody | None) -> Usage | None:
    if body is None:
        return None
    prompt, answer = body.prompt_tokens_details, body.completion_tokens_details
    read, written = body.prompt_tokens, body.completion_tokens
    tells_more = prompt or answer or body.prompt_cache_hit_tokens or body.cached_tokens
    if not tells_more and read and written and min(read, written) > 0:
        return Usage(input=read, output=written)  # all that most servers tell
    output = _count(body.completion_tokens)
    reasoning = _count(answer.reasoning_tokens) if answer else 0
    if reasoning and _count(body.total_tokens) == _count(body.prompt_tokens) + output + reasoning:
        output += reasoning  # xAI counts them beside the answer's tokens, not among them
    cached = prompt.cached_tokens if prompt else None
    return Usage(
        input=_count(body.prompt_tokens),
        output=output,
        cache_read=_count(cached or body.prompt_cache_hit_tokens or body.cached_tokens),
        cache_write=_count(prompt.cache_write_tokens) if prompt else 0,
        reasoning=reasoning,
        audio_input=_count(prompt.audio_tokens) if prompt else 0,
        audio_output=_count(answer.audio_tokens) if answer else 0,
    )


def _count(tokens: int | None) -> int:
    return max(tokens or 0, 0)
