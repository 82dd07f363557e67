"""Writes chat completions: whole, or as a stream."""

from typing import Any, Final

import msgspec
from msgspec import UNSET

from undercroft.llm.types import Choice, Chunk, ToolCallDelta, Usage
from undercroft.wire.errors import stream_error_frame
from undercroft.wire.openai.answers import (
    CalledCustom,
    CalledFunction,
    ChatAnswerChoice,
    ChatAnswerMessage,
    ChatCompletion,
    CustomToolCall,
    FunctionToolCall,
    completion_usage,
)
from undercroft.wire.openai.stream import SourceStream

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])

_SHARED: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
"""What is the same in every event of one stream."""


def whole(chunk: Chunk, *, id: str, created: int, model: str, legacy_functions: bool = False) -> bytes:
    """The body of a whole answer: the provider's own where it speaks this format, untouched."""
    passed = passed_on(chunk)
    if passed is not None:
        return passed
    return _encode(
        ChatCompletion(
            id=id,
            created=created,
            model=model,
            choices=[_choice(choice, legacy_functions=legacy_functions) for choice in chunk.choices],
            usage=completion_usage(chunk.usage or Usage()),
        )
    )


def passed_on(chunk: Chunk) -> bytes | None:
    """A provider's own answer, untouched, where it speaks this format."""
    return chunk.source if chunk.whole and chunk.dialect is None else None


def _choice(choice: Choice, *, legacy_functions: bool) -> ChatAnswerChoice:
    calls = choice.tool_calls
    is_silent = not choice.text and bool(calls or choice.refusal)
    message = ChatAnswerMessage(
        content=None if is_silent else choice.text,
        refusal=choice.refusal or None,
        reasoning_content=choice.reasoning or UNSET,
    )
    finish_reason = choice.finish_reason or "stop"
    if calls and legacy_functions:
        message.function_call = CalledFunction(name=calls[0].name or "", arguments=calls[0].arguments)
        finish_reason = _legacy(finish_reason)
    elif calls:
        message.tool_calls = [_tool_call(call) for call in calls]
    return ChatAnswerChoice(index=choice.index, message=message, logprobs=choice.logprobs, finish_reason=finish_reason)


def _tool_call(call: ToolCallDelta) -> FunctionToolCall | CustomToolCall:
    name = call.name or ""
    if call.type == "custom":
        return CustomToolCall(id=call.id or "", custom=CalledCustom(name=name, input=call.arguments))
    return FunctionToolCall(id=call.id or "", function=CalledFunction(name=name, arguments=call.arguments))


def _legacy(finish_reason: str) -> str:
    return "function_call" if finish_reason == "tool_calls" else finish_reason


class ChatStream:
    """Writes one answer's event stream.

    `frame` for each chunk, then `end` for a complete stream or `error` for a broken one. Usage is told once, at the
    end, and only to a caller who asked for it, however often and in whichever chunk the provider tells it.
    """

    __slots__ = ("_begun", "_head", "_is_adopted", "_legacy_functions", "_source", "_tail")

    def __init__(
        self, *, id: str, created: int, model: str, include_usage: bool = False, legacy_functions: bool = False
    ) -> None:
        shared = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "system_fingerprint": None,
        }
        self._source = SourceStream(shared, include_usage=include_usage)
        self._head = b"data: " + _encode(shared)[:-1] + b',"choices":[{"index":'
        self._tail = b'}],"usage":null}\n\n' if include_usage else b"}]}\n\n"
        self._legacy_functions = legacy_functions
        self._begun: set[int] = set()
        """The choices whose role has been sent."""
        self._is_adopted = False

    def frame(self, chunk: Chunk) -> bytes:
        """The bytes of one chunk; empty when there is nothing to send yet."""
        if chunk.source is not None and not chunk.whole and chunk.dialect is None:
            return self._source.frame(chunk)
        self._source.note(chunk)
        if self._source.last is not None and chunk.choices and not self._is_adopted:
            self._adopt(self._source.last, chunk)
        return b"".join([self._frames(choice) for choice in chunk.choices])

    def _adopt(self, event: bytes, chunk: Chunk) -> None:
        """Somebody else goes on with a stream that began as a provider's own events: under their id, time and model."""
        fields = _fields.decode(event)
        shared = {name: fields[name] for name in _SHARED if name in fields}
        self._head = b"data: " + _encode(shared)[:-1] + b',"choices":[{"index":'
        self._begun.update(choice.index for choice in chunk.choices)
        self._is_adopted = True

    def end(self, usage: Usage | None = None) -> bytes:
        """What closes a complete stream. `usage` is told where the provider told none."""
        return self._source.end(usage)

    def error(self, error: BaseException) -> bytes:
        """What closes a broken stream."""
        return stream_error_frame(error)

    def _frames(self, choice: Choice) -> bytes:
        """A frame for what the choice says, and one of its own for its end."""
        delta = self._delta(choice)
        frames = b""
        if delta or choice.logprobs is not None:
            frames = self._frame(choice.index, delta, choice.logprobs, None)
        if choice.finish_reason:
            reason = _legacy(choice.finish_reason) if self._legacy_functions else choice.finish_reason
            frames += self._frame(choice.index, _NOTHING, None, reason)
        return frames

    def _frame(self, index: int, delta: dict[str, Any], logprobs: Any, finish_reason: str | None) -> bytes:
        return b'%b%d,"delta":%b,"logprobs":%b,"finish_reason":%b%b' % (
            self._head,
            index,
            _encode(delta),
            b"null" if logprobs is None else _encode(logprobs),
            b"null" if finish_reason is None else _encode(finish_reason),
            self._tail,
        )

    def _delta(self, choice: Choice) -> dict[str, Any]:
        delta: dict[str, Any] = {}
        if choice.index not in self._begun:
            self._begun.add(choice.index)
            delta["role"] = "assistant"
            delta["content"] = choice.text if choice.text or not choice.tool_calls else None
        elif choice.text:
            delta["content"] = choice.text
        if choice.reasoning:
            delta["reasoning_content"] = choice.reasoning
        if choice.refusal:
            delta["refusal"] = choice.refusal
        if choice.tool_calls and self._legacy_functions:
            delta["function_call"] = _function(choice.tool_calls[0])
        elif choice.tool_calls:
            delta["tool_calls"] = [_tool_call_delta(call) for call in choice.tool_calls]
        return delta


_NOTHING: Final[dict[str, Any]] = {}


def _tool_call_delta(call: ToolCallDelta) -> dict[str, Any]:
    if call.type == "custom":
        named = {} if call.name is None else {"name": call.name}
        piece: dict[str, Any] = {"index": call.index, "custom": {**named, "input": call.arguments}}
    else:
        piece = {"index": call.index, "function": _function(call)}
    if call.id is not None:
        piece["id"] = call.id
        piece["type"] = call.type
    return piece


def _function(call: ToolCallDelta) -> dict[str, Any]:
    named = {} if call.name is None else {"name": call.name}
    return {**named, "arguments": call.arguments}
