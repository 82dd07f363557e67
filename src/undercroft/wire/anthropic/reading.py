"""Reads what a provider answers: whole, or event by event."""

from contextlib import suppress
from typing import Any

import msgspec

from undercroft.errors import UpstreamGarbled
from undercroft.llm.types import Choice, Chunk, ToolCallDelta, Usage
from undercroft.wire.anthropic.failures import refused
from undercroft.wire.anthropic.values import finish_reason, input_text


class OutputDetailsBody(msgspec.Struct, gc=False):
    """Parts of the answer's tokens."""

    thinking_tokens: int | None = None


class CacheCreationBody(msgspec.Struct, gc=False):
    """Of what was written to the cache, the part that stays there for an hour: it costs more."""

    ephemeral_1h_input_tokens: int | None = None


class UsageBody(msgspec.Struct, gc=False):
    """Usage as far as it is told: later events correct earlier ones."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: CacheCreationBody | None = None
    output_tokens: int | None = None
    output_tokens_details: OutputDetailsBody | None = None


class BlockBody(msgspec.Struct, gc=False):
    """A block of the answer, or how it begins."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None


class MessageBody(msgspec.Struct, gc=False):
    """A whole answer, or the beginning of one."""

    type: str = ""
    model: str | None = None
    content: list[BlockBody] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: UsageBody | None = None


class DeltaBody(msgspec.Struct, gc=False):
    """What an event adds to a block, or to the message."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class EventBody(msgspec.Struct, gc=False):
    """Any event; which fields it has, its type says."""

    type: str = ""
    index: int = 0
    message: MessageBody | None = None
    content_block: BlockBody | None = None
    delta: DeltaBody | None = None
    usage: UsageBody | None = None


class TypeBody(msgspec.Struct, gc=False):
    """What a block, or an addition to one, is."""

    type: str = ""


class UnreadBody(msgspec.Struct, gc=False):
    """An event of which only the types are looked at."""

    type: str = ""
    content_block: TypeBody | None = None
    delta: TypeBody | None = None


_event = msgspec.json.Decoder(EventBody)
_unread = msgspec.json.Decoder(UnreadBody)
_message = msgspec.json.Decoder(MessageBody)


def decode_whole(body: bytes, *, answer_tool: str = "") -> Chunk:
    """A whole answer. Raises the error it holds, or UpstreamGarbled. The call of `answer_tool` is read as its text."""
    answer = _read(_message, body)
    if answer.content is None or answer.stop_reason is None:
        raise refused(body)
    texts, reasoning, signatures = [], [], []
    calls: list[ToolCallDelta] = []
    reason = finish_reason(answer.stop_reason)
    for block in answer.content:
        if block.type == "text":
            texts.append(block.text or "")
        elif block.type == "thinking":
            reasoning.append(block.thinking or "")
            signatures.append(block.signature or "")
        elif block.type == "tool_use" and answer_tool and block.name == answer_tool:
            texts = [input_text(block.input or {})]
            reason = "stop" if reason == "tool_calls" else reason
        elif block.type == "tool_use":
            arguments = input_text(block.input or {})
            calls.append(ToolCallDelta(index=len(calls), id=block.id, name=block.name, arguments=arguments))
    choice = Choice(
        role="assistant",
        text="".join(texts),
        reasoning="".join(reasoning),
        signature="".join(signatures),
        tool_calls=tuple(calls),
        finish_reason="tool_calls" if calls and reason == "stop" else reason,
        stop_sequence=answer.stop_sequence,
    )
    return Chunk(
        choices=(choice,),
        usage=None if answer.usage is None else _usage(answer.usage, Usage()),
        model=answer.model or "",
        source=body,
        dialect="anthropic.messages",
        whole=True,
    )


class Reading:
    """One answer's events, in order: `read` gives a chunk for each, and None for the one that ends it.

    A message that never said why it ended, or has no `message_stop`, was cut.
    """

    __slots__ = (
        "_answer_tool", "_calls", "_in_answer", "_inputs", "_is_answered", "_is_counted", "_stopped", "_usage",
        "has_begun",
    )  # fmt: skip

    is_complete = False
    """Only `message_stop` ends a stream."""

    def __init__(self, *, answer_tool: str = "") -> None:
        self.has_begun = False
        """There is something of the answer itself: `message_start` comes before the model has said a word."""
        self._answer_tool = answer_tool
        self._calls: dict[int, int] = {}
        """By the block's index, which call of the answer it is."""
        self._inputs: dict[int, str] = {}
        """What the calls of which no piece of input has come yet began with: it is all of it when none comes."""
        self._in_answer: set[int] = set()
        """Blocks that are calls of the tool that stands for the answer."""
        self._is_answered = False
        self._stopped = False
        self._usage = Usage()
        self._is_counted = False

    def read(self, data: bytes) -> Chunk | None:
        event = _read_event(data)
        match event.type:
            case "content_block_delta":
                choice = self._delta(event.index, event.delta or DeltaBody())
            case "content_block_start":
                self.has_begun = True
                choice = self._start(event.index, event.content_block or BlockBody())
            case "content_block_stop":
                choice = self._rest(event.index)
            case "message_start":
                return self._message_start(event.message or MessageBody(), data)
            case "message_delta":
                return self._message_delta(event, data)
            case "message_stop":
                if not self._stopped:
                    raise UpstreamGarbled("The provider ended its stream before its answer was complete.")
                return None
            case "error":
                raise refused(data)
            case "":
                raise refused(data)
            case _:  # a ping, and whatever comes to be
                choice = None
        return Chunk(choices=() if choice is None else (choice,), source=data, dialect="anthropic.messages")

    def _message_start(self, message: MessageBody, data: bytes) -> Chunk:
        self._count(message.usage)
        # What is written is not known yet, whatever stands there: if the stream is cut, it is estimated.
        usage = msgspec.structs.replace(self._usage, output=0, reasoning=0) if self._is_counted else None
        return Chunk(
            choices=(Choice(role="assistant"),),
            usage=usage,
            model=message.model or "",
            source=data,
            dialect="anthropic.messages",
        )

    def _message_delta(self, event: EventBody, data: bytes) -> Chunk:
        self.has_begun = True
        delta = event.delta or DeltaBody()
        self._count(event.usage)
        choices: tuple[Choice, ...] = tuple([rest for index in list(self._inputs) if (rest := self._rest(index))])
        if delta.stop_reason is not None and not self._stopped:
            self._stopped = True
            reason = finish_reason(delta.stop_reason)
            if self._is_answered and not self._calls and reason == "tool_calls":
                reason = "stop"
            choices += (Choice(finish_reason=reason, stop_sequence=delta.stop_sequence),)
        usage = self._usage if self._is_counted else None
        return Chunk(choices=choices, usage=usage, source=data, dialect="anthropic.messages")

    def _count(self, told: UsageBody | None) -> None:
        self._usage = _usage(told, self._usage)
        self._is_counted = self._is_counted or told is not None

    def _start(self, index: int, block: BlockBody) -> Choice | None:
        if block.type == "tool_use":
            if self._answer_tool and block.name == self._answer_tool:
                self._in_answer.add(index)
                self._is_answered = True
                return None
            call = self._calls[index] = len(self._calls)
            self._inputs[index] = input_text(block.input or {})
            return Choice(tool_calls=(ToolCallDelta(index=call, id=block.id, name=block.name),))
        if block.type == "text" and block.text:
            return Choice(text=block.text)
        if block.type == "thinking" and (block.thinking or block.signature):
            return Choice(reasoning=block.thinking or "", signature=block.signature or "")
        return None

    def _delta(self, index: int, delta: DeltaBody) -> Choice | None:
        match delta.type:
            case "text_delta":
                return Choice(text=delta.text or "")
            case "thinking_delta":
                return Choice(reasoning=delta.thinking or "")
            case "signature_delta":
                return Choice(signature=delta.signature or "")
            case "input_json_delta":
                piece = delta.partial_json or ""
                if index in self._in_answer:
                    return Choice(text=piece)
                if index in self._calls:
                    if piece:
                        self._inputs.pop(index, None)
                    return Choice(tool_calls=(ToolCallDelta(index=self._calls[index], arguments=piece),))
        return None  # citations, and the input of tools that the provider runs itself

    def _rest(self, index: int) -> Choice | None:
        """The input of a call that ends without a piece of it: `{}` from Anthropic, where callers want JSON."""
        arguments = self._inputs.pop(index, None)
        if arguments is None:
            return None
        return Choice(tool_calls=(ToolCallDelta(index=self._calls[index], arguments=arguments),))


def _usage(told: UsageBody | None, known: Usage) -> Usage:
    """Ours: what is read from and written to the cache is part of the input."""
    if told is None:
        return known
    read = known.cache_read if told.cache_read_input_tokens is None else max(told.cache_read_input_tokens, 0)
    written = known.cache_write if told.cache_creation_input_tokens is None else told.cache_creation_input_tokens
    written = max(written, 0)
    plain = known.input - known.cache_read - known.cache_write
    plain = plain if told.input_tokens is None else max(told.input_tokens, 0)
    kept = told.cache_creation.ephemeral_1h_input_tokens if told.cache_creation else None
    thought = told.output_tokens_details.thinking_tokens if told.output_tokens_details else None
    return Usage(
        input=plain + read + written,
        output=known.output if told.output_tokens is None else max(told.output_tokens, 0),
        cache_read=read,
        cache_write=written,
        reasoning=known.reasoning if thought is None else max(thought, 0),
        cache_write_long=known.cache_write_long if kept is None else max(kept, 0),
    )


_READ = frozenset(
    {"text", "thinking", "tool_use", "text_delta", "thinking_delta", "signature_delta", "input_json_delta"}
)


def _read_event(data: bytes) -> EventBody:
    """The event. Blocks that come to be may use the names of known fields for other things: those are not read."""
    try:
        event: EventBody = _read(_event, data)
    except UpstreamGarbled:
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            outline = _unread.decode(data)
            told = outline.content_block or outline.delta
            if told is not None and told.type and told.type not in _READ and outline.type.startswith("content_block_"):
                return EventBody(type=outline.type)
        raise
    return event


def _read(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    try:
        body = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused(data) from error
    if body.type == "error":
        raise refused(data)
    return body
