"""Writes messages: whole, or as a stream."""

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from undercroft.llm.types import Choice, Chunk, ToolCallDelta, Usage
from undercroft.wire.anthropic.calls import CallQueue
from undercroft.wire.anthropic.errors import stream_error_event
from undercroft.wire.anthropic.values import AnthropicUsage, input_of, stop_reason, written_usage


class TextBlock(msgspec.Struct, kw_only=True, tag_field="type", tag="text"):
    """What the model said."""

    text: str


class ThinkingBlock(msgspec.Struct, kw_only=True, tag_field="type", tag="thinking"):
    """What the model thought, and its proof of that."""

    thinking: str
    signature: str


class ToolUseBlock(msgspec.Struct, kw_only=True, tag_field="type", tag="tool_use"):
    """A call of a tool that the model wants made."""

    id: str
    name: str
    input: dict[str, Any]


class AnthropicMessage(msgspec.Struct, kw_only=True):
    """A whole answer."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[TextBlock | ThinkingBlock | ToolUseBlock]
    stop_reason: str | None
    stop_sequence: str | None
    usage: AnthropicUsage


class EventKind(msgspec.Struct):
    """The one field of a provider's event that is looked at when it is passed on."""

    type: str


_encode = msgspec.json.Encoder().encode
_kind = msgspec.json.Decoder(EventKind)
_NOTHING: Final = Choice()
_USUAL: Final = b'{"type":"content_block_delta",'
"""How nearly all events begin: their names need no second look at all of them."""


def whole(chunk: Chunk, *, id: str, model: str) -> bytes:
    """The body of a whole answer: the provider's own where it speaks this format, untouched."""
    if chunk.source is not None and chunk.whole and chunk.dialect == "anthropic.messages":
        return chunk.source
    choice = next((each for each in chunk.choices if each.index == 0), _NOTHING)
    content: list[TextBlock | ThinkingBlock | ToolUseBlock] = []
    if choice.reasoning:
        content.append(ThinkingBlock(thinking=choice.reasoning, signature=choice.signature))
    if said := choice.text + choice.refusal:
        content.append(TextBlock(text=said))
    for call in choice.tool_calls:
        id_of_call = call.id or call_id(id, call.index)
        content.append(ToolUseBlock(id=id_of_call, name=call.name or "", input=input_of(call.arguments)))
    return _encode(
        AnthropicMessage(
            id=id,
            model=model,
            content=content,
            stop_reason=stop_reason(choice),
            stop_sequence=choice.stop_sequence,
            usage=written_usage(chunk.usage or Usage()),
        )
    )


def message_id(request_id: str) -> str:
    """The request's id in the form Anthropic's answers have."""
    return "msg_" + request_id.removeprefix("req_")


def call_id(message_id: str, number: int) -> str:
    """For a provider that gives its calls no ids."""
    return f"toolu_{message_id.removeprefix('msg_')}_{number}"


class MessageStream:
    """Writes one answer's event stream.

    `frame` for each chunk, then `end` for a complete stream or `error` for a broken one. Blocks come one after the
    other, as Anthropic's do: pieces of a second tool call wait until the first is whole.
    """

    __slots__ = (
        "_block",
        "_calls",
        "_estimate",
        "_id",
        "_last",
        "_model",
        "_next",
        "_passes",
        "_request",
        "_usage",
    )

    def __init__(self, *, id: str, request_id: str, model: str, estimate: Callable[[], int] = int) -> None:
        self._id = id
        self._request = request_id
        self._model = model
        self._estimate = estimate
        """Of the input's tokens, for the first event: most providers count only at the end, and the last event corrects
        it."""
        self._block = ""
        """The kind of the block that is open."""
        self._next = -1
        """The number of the next block; -1: the message has not begun."""
        self._calls = CallQueue()
        self._passes = False
        """The provider's own events have been passed on: it ends its blocks and the message itself."""
        self._last = _NOTHING
        self._usage: Usage | None = None

    def frame(self, chunk: Chunk) -> bytes:
        """The bytes of one chunk; empty when there is nothing to send yet."""
        if chunk.source is not None and not chunk.whole and chunk.dialect == "anthropic.messages":
            self._passes = True
            if chunk.source.startswith(_USUAL):
                return event("content_block_delta", chunk.source)
            return event(_kind.decode(chunk.source).type, chunk.source)
        if chunk.usage is not None:
            self._usage = chunk.usage
        frames = [] if self._next >= 0 else [self._begin()]
        for choice in chunk.choices:
            if choice.index == 0:
                self._say(choice, frames)
        return b"".join(frames)

    def end(self, usage: Usage | None = None) -> bytes:
        """What closes a complete stream. `usage` is told where the provider told none."""
        if self._passes:
            return _STOP
        frames = [] if self._next >= 0 else [self._begin()]
        self._write_calls(self._calls.rest(), frames)
        self._close(frames)
        last = {
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(self._last), "stop_sequence": self._last.stop_sequence},
            "usage": written_usage(self._usage or usage or Usage()),
        }
        frames.append(event("message_delta", _encode(last)))
        frames.append(_STOP)
        return b"".join(frames)

    def error(self, error: BaseException) -> bytes:
        """What closes a broken stream."""
        return stream_error_event(error, request_id=self._request)

    def _begin(self) -> bytes:
        self._next = 0
        message = AnthropicMessage(
            id=self._id,
            model=self._model,
            content=[],
            stop_reason=None,
            stop_sequence=None,
            usage=written_usage(Usage(input=self._estimate())),
        )
        return event("message_start", _encode({"type": "message_start", "message": message})) + _PING

    def _say(self, choice: Choice, frames: list[bytes]) -> None:
        if choice.reasoning:
            self._open("thinking", ThinkingBlock(thinking="", signature=""), frames)
            frames.append(self._delta({"type": "thinking_delta", "thinking": choice.reasoning}))
        if choice.signature:
            self._open("thinking", ThinkingBlock(thinking="", signature=""), frames)
            frames.append(self._delta({"type": "signature_delta", "signature": choice.signature}))
        if said := choice.text + choice.refusal:
            self._open("text", TextBlock(text=""), frames)
            frames.append(self._delta({"type": "text_delta", "text": said}))
        for piece in choice.tool_calls:
            self._write_calls(self._calls.add(piece), frames)
        if choice.finish_reason:
            self._last = choice

    def _write_calls(self, pieces: list[ToolCallDelta], frames: list[bytes]) -> None:
        for piece in pieces:
            kind = f"tool_use {piece.index}"
            id_of_call = piece.id or call_id(self._id, piece.index)
            self._open(kind, ToolUseBlock(id=id_of_call, name=piece.name or "", input={}), frames)
            if piece.arguments:
                frames.append(self._delta({"type": "input_json_delta", "partial_json": piece.arguments}))

    def _open(self, kind: str, block: TextBlock | ThinkingBlock | ToolUseBlock, frames: list[bytes]) -> None:
        if self._block == kind:
            return
        self._close(frames)
        self._block = kind
        start = {"type": "content_block_start", "index": self._next, "content_block": block}
        frames.append(event("content_block_start", _encode(start)))

    def _close(self, frames: list[bytes]) -> None:
        if self._block:
            frames.append(event("content_block_stop", b'{"type":"content_block_stop","index":%d}' % self._next))
            self._next += 1
            self._block = ""

    def _delta(self, delta: dict[str, str]) -> bytes:
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}\n\n' % (
            self._next,
            _encode(delta),
        )


def event(kind: str, payload: bytes) -> bytes:
    """One event. Clients go by the name in its first line."""
    if b"\n" in payload:
        payload = payload.replace(b"\n", b"\ndata: ")
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), payload)


_PING: Final = event("ping", b'{"type":"ping"}')
_STOP: Final = event("message_stop", b'{"type":"message_stop"}')
