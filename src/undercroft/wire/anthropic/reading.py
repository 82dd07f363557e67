"""Reads what a provider answers: whole, or event by event."""

from typing import Any

import msgspec

from undercroft.errors import UpstreamGarbled
from undercroft.llm.types import Choice, Chunk, ToolCallDelta, Usage
from undercroft.wire.anthropic.failures import refused
from undercroft.wire.anthropic.values import finish_reason, input_text


class OutputDetailsBody(msgspec.Struct, gc=False):
    """Parts of the answer's tokens."""

    thinking_tokens: int | None = None


class UsageBody(msgspec.Struct, gc=False):
    """Usage as far as it is told: later events correct earlier ones."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
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


_event = msgspec.json.Decoder(EventBody)
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
        usage=_usage(answer.usage, Usage()),
        model=answer.model or "",
        source=body,
        dialect="anthropic.messages",
        whole=True,
    )


class Reading:
    """One answer's events, in order: `read` gives a chunk for each, and None for the one that ends it.

    A message that never said why it ended, or has no `message_stop`, was cut.
    """

    __slots__ = ("_answer_tool", "_calls", "_in_answer", "_is_answered", "_stopped", "_usage", "has_begun")

    is_complete = False
    """Only `message_stop` ends a stream."""

    def __init__(self, *, answer_tool: str = "") -> None:
        self.has_begun = False
        """There is something of the answer itself: `message_start` comes before the model has said a word."""
        self._answer_tool = answer_tool
        self._calls: dict[int, int] = {}
        """By the block's index, which call of the answer it is."""
        self._in_answer: set[int] = set()
        """Blocks that are calls of the tool that stands for the answer."""
        self._is_answered = False
        self._stopped = False
        self._usage = Usage()

    def read(self, data: bytes) -> Chunk | None:
        event = _read(_event, data)
        match event.type:
            case "content_block_delta":
                choice = self._delta(event.index, event.delta or DeltaBody())
            case "content_block_start":
                self.has_begun = True
                choice = self._start(event.index, event.content_block or BlockBody())
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
            case _:  # the end of a block, a ping, and whatever comes to be
                choice = None
        return Chunk(choices=() if choice is None else (choice,), source=data, dialect="anthropic.messages")

    def _message_start(self, message: MessageBody, data: bytes) -> Chunk:
        self._usage = _usage(message.usage, Usage())
        return Chunk(
            choices=(Choice(role="assistant"),),
            # What is written is not known yet, whatever stands there: if the stream is cut, it is estimated.
            usage=msgspec.structs.replace(self._usage, output=0, reasoning=0),
            model=message.model or "",
            source=data,
            dialect="anthropic.messages",
        )

    def _message_delta(self, event: EventBody, data: bytes) -> Chunk:
        self.has_begun = True
        delta = event.delta or DeltaBody()
        self._usage = _usage(event.usage, self._usage)
        choices: tuple[Choice, ...] = ()
        if delta.stop_reason is not None and not self._stopped:
            self._stopped = True
            reason = finish_reason(delta.stop_reason)
            if self._is_answered and not self._calls and reason == "tool_calls":
                reason = "stop"
            choices = (Choice(finish_reason=reason, stop_sequence=delta.stop_sequence),)
        return Chunk(choices=choices, usage=self._usage, source=data, dialect="anthropic.messages")

    def _start(self, index: int, block: BlockBody) -> Choice | None:
        if block.type == "tool_use":
            if self._answer_tool and block.name == self._answer_tool:
                self._in_answer.add(index)
                self._is_answered = True
                return None
            call = self._calls[index] = len(self._calls)
            # The input in the first event is empty: what follows in pieces is all of it.
            arguments = input_text(block.input) if block.input else ""
            return Choice(tool_calls=(ToolCallDelta(index=call, id=block.id, name=block.name, arguments=arguments),))
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
                    return Choice(tool_calls=(ToolCallDelta(index=self._calls[index], arguments=piece),))
        return None  # citations, and the input of tools that the provider runs itself


def _usage(told: UsageBody | None, known: Usage) -> Usage:
    """Ours: what is read from and written to the cache is part of the input."""
    if told is None:
        return known
    read = known.cache_read if told.cache_read_input_tokens is None else max(told.cache_read_input_tokens, 0)
    written = known.cache_write if told.cache_creation_input_tokens is None else told.cache_creation_input_tokens
    written = max(written, 0)
    plain = known.input - known.cache_read - known.cache_write
    plain = plain if told.input_tokens is None else max(told.input_tokens, 0)
    thought = told.output_tokens_details.thinking_tokens if told.output_tokens_details else None
    return Usage(
        input=plain + read + written,
        output=known.output if told.output_tokens is None else max(told.output_tokens, 0),
        cache_read=read,
        cache_write=written,
        reasoning=known.reasoning if thought is None else max(thought, 0),
    )


def _read(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    try:
        body = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused(data) from error
    if body.type == "error":
        raise refused(data)
    return body
