"""What a provider that speaks Responses is sent, and what it answers."""

from typing import Any, Final, get_args

import msgspec

from undercroft.errors import UpstreamGarbled
from undercroft.llm.types import ChatRequest, Choice, Chunk, ToolCallDelta, Usage
from undercroft.wire.openai.failures import error_in_answer
from undercroft.wire.openai.responses.answer import ErrorCode
from undercroft.wire.openai.upstream import read, rewritten

DIALECT: Final = "openai.responses"


def encode_request(request: ChatRequest, *, model: str) -> bytes:
    """The caller's own bytes under the provider's model name; nothing else changes."""
    assert request.source is not None
    return rewritten(request.source.body, model=model, ask_usage=False)


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Item(msgspec.Struct, gc=False):
    """An item of the output, as far as it is read."""

    type: str = ""
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    content: list[dict[str, Any]] | None = None


class _Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


class _Answer(msgspec.Struct, gc=False):
    """A response object. The rest rides along in its source."""

    id: str | None = None
    object: str | None = None
    model: str | None = None
    status: str | None = None
    error: Any = None
    usage: _Usage | None = None
    output: list[_Item] | None = None
    incomplete_details: _Incomplete | None = None


class _Event(msgspec.Struct, gc=False):
    """An event of any type."""

    type: str | None = None
    object: str | None = None
    delta: Any = None
    output_index: int | None = None
    item: _Item | None = None
    response: _Answer | None = None
    error: Any = None
    code: Any = None
    message: str | None = None


_events = msgspec.json.Decoder(_Event, strict=False)
_answers = msgspec.json.Decoder(_Answer, strict=False)
_FAILURES: Final = ("error", "response.failed")
_WITH_RESPONSE: Final = ("response.created", "response.completed", "response.incomplete")
_TEXT: Final = "response.output_text.delta"


def decode_event(data: bytes) -> Chunk:
    """One event's payload; one of a type we do not know says nothing to us, and is passed on. Raises the error that
    an event tells of, or UpstreamGarbled."""
    event = _read(_events, data)
    kind = event.type
    if kind == _TEXT:
        return Chunk(choices=(Choice(text=_str(event.delta)),), source=data, dialect=DIALECT)
    if kind is None:
        raise UpstreamGarbled("The provider sent an event without a type.")
    if kind in _FAILURES:
        raise _failure(event)
    usage, model = None, ""
    choices: tuple[Choice, ...] = ()
    if (told := event.response) is not None:
        if not told.id:
            raise UpstreamGarbled("The provider sent a response without an id.")
        model, usage = told.model or "", _usage_of(told.usage)
        if kind in ("response.completed", "response.incomplete"):
            choices = (Choice(finish_reason=_finish_reason(told)),)
    elif kind in _WITH_RESPONSE:
        raise UpstreamGarbled(f"The provider sent an event '{kind}' without its response.")
    elif (choice := _said(kind, event)) is not None:
        choices = (choice,)
    return Chunk(choices=choices, usage=usage, model=model, source=data, dialect=DIALECT)


def decode_whole(body: bytes) -> Chunk:
    """A whole answer. Raises the error it tells of, or UpstreamGarbled."""
    answer = _read(_answers, body)
    if answer.status == "failed" or (answer.error is not None and answer.object != "response"):
        raise _told_failure(answer.error if isinstance(answer.error, dict) else {})
    if answer.output is None or not answer.id:
        raise UpstreamGarbled("The provider's answer is no response: it has no output or no id.")
    choice = Choice(
        role="assistant",
        text="".join(_texts(answer.output, "text")),
        refusal="".join(_texts(answer.output, "refusal")),
        tool_calls=tuple(
            ToolCallDelta(
                index=index,
                id=item.call_id,
                name=item.name,
                arguments=item.arguments or item.input or "",
                type="custom" if item.type == "custom_tool_call" else "function",
            )
            for index, item in enumerate(answer.output)
            if item.type in ("function_call", "custom_tool_call")
        ),
        finish_reason=_finish_reason(answer),
    )
    return Chunk(
        choices=(choice,),
        usage=_usage_of(answer.usage),
        model=answer.model or "",
        source=body,
        dialect=DIALECT,
        whole=True,
    )


def _read(decoder: "msgspec.json.Decoder[Any]", data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return read(decoder, data)  # it fails again, and says why


def _said(kind: str, event: _Event) -> Choice | None:
    """What an event adds to the answer, for whoever counts it."""
    match kind:
        case "response.refusal.delta":
            return Choice(refusal=_str(event.delta))
        case "response.reasoning_text.delta" | "response.reasoning_summary_text.delta":
            return Choice(reasoning=_str(event.delta))
        case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
            call = ToolCallDelta(index=event.output_index or 0, arguments=_str(event.delta))
            return Choice(tool_calls=(call,))
        case "response.output_item.added" if event.item is not None and event.item.call_id is not None:
            item = event.item
            call = ToolCallDelta(
                index=event.output_index or 0,
                id=item.call_id,
                name=item.name,
                type="custom" if item.type == "custom_tool_call" else "function",
            )
            return Choice(tool_calls=(call,))
        case _:
            return None


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


def _failure(event: _Event) -> Exception:
    """`response.failed` has its error in the response; `error` says it itself, or in `error`."""
    told = event.response.error if event.response is not None else event.error
    if not isinstance(told, dict):
        told = {"message": event.message, "code": event.code}
    return _told_failure(told)


def _told_failure(told: dict[str, Any]) -> Exception:
    """In a response an error has no status: most of the codes it may have say that the request is at fault."""
    if told.get("code") in get_args(ErrorCode) and told["code"] not in _NOT_THE_CALLERS:
        told = {**told, "status": 400}
    return error_in_answer({"error": told})


_NOT_THE_CALLERS: Final = ("server_error", "rate_limit_exceeded", "vector_store_timeout")


def _texts(items: list[_Item], name: str) -> list[str]:
    return [
        text
        for item in items
        if item.type == "message"
        for part in item.content or ()
        if isinstance(text := part.get(name), str)
    ]


def _finish_reason(answer: _Answer) -> str:
    if answer.status == "incomplete":
        reason = answer.incomplete_details.reason if answer.incomplete_details else None
        return "content_filter" if reason == "content_filter" else "length"
    if any(item.type in ("function_call", "custom_tool_call") for item in answer.output or ()):
        return "tool_calls"
    return "stop"


def _usage_of(told: _Usage | None) -> Usage | None:
    if told is None:
        return None
    into, out = told.input_tokens_details, told.output_tokens_details
    return Usage(
        input=_count(told.input_tokens),
        output=_count(told.output_tokens),
        cache_read=_count(into.cached_tokens) if into else 0,
        cache_write=_count(into.cache_write_tokens) if into else 0,
        reasoning=_count(out.reasoning_tokens) if out else 0,
        audio_input=_count(into.audio_tokens) if into else 0,
        audio_output=_count(out.audio_tokens) if out else 0,
    )


def _count(tokens: int | None) -> int:
    return max(tokens or 0, 0)
