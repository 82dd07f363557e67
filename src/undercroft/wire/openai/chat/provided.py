"""Reads what a provider answers to chat completions, whole or in pieces, and mends what clients would trip over."""

from typing import Any, Final

import msgspec

from undercroft.errors import UpstreamError, UpstreamGarbled
from undercroft.llm.types import Choice, Chunk, ToolCallDelta
from undercroft.record import Usage
from undercroft.wire.openai.chat.mending import mended
from undercroft.wire.openai.upstream import AnswerBody, UsageBody, read, usage_of


class FunctionPiece(msgspec.Struct, gc=False):
    """A called function, or a fragment of it. Ollama has written arguments as an object."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None
    input: str | None = None


class ToolCallPiece(msgspec.Struct, gc=False):
    """A tool call, or a fragment of it. Some providers leave the index out."""

    index: int | None = None
    id: str | None = None
    function: FunctionPiece | None = None
    custom: FunctionPiece | None = None


class Said(msgspec.Struct, gc=False):
    """A stream's delta or a whole answer's message. Mistral writes content as parts, reasoning has three names."""

    role: str | None = None
    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    thinking: Any = None
    tool_calls: list[ToolCallPiece] | None = None
    function_call: FunctionPiece | None = None


class ChoiceBody(msgspec.Struct, gc=False):
    """One choice of a whole answer or of a piece."""

    index: int | None = None
    delta: Said | None = None
    message: Said | None = None
    logprobs: Any = None
    finish_reason: str | None = None
    usage: UsageBody | None = None
    """Moonshot tells a stream's usage here."""


class GroqBody(msgspec.Struct, gc=False):
    """What Groq adds to a stream's last piece."""

    usage: UsageBody | None = None


class ChatAnswerBody(AnswerBody, gc=False):
    """What is read of an answer or piece; the rest rides along in its source."""

    choices: list[ChoiceBody] | None = None
    x_groq: GroqBody | None = None


_decoder = msgspec.json.Decoder(ChatAnswerBody, strict=False)
_encode = msgspec.json.Encoder().encode
_NOTHING: Final = Said()


class ChatPieces:
    """Reads one stream's events, in order: which call a fragment belongs to may show only from those before it."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[tuple[int, int], _Begun] = {}
        """By choice and the index the provider gives, the call that fragments belong to."""

    def decode(self, data: bytes) -> Chunk:
        """One event's payload. Raises the error it holds, or UpstreamGarbled."""
        body = read(_decoder, data)
        choices = body.choices
        if choices is None:
            # Clients trip over a chunk without `choices`: it is written anew (or, empty, not at all).
            return Chunk(usage=_usage(body), model=body.model or "")
        if len(choices) == 1:
            choice = choices[0]
            said = choice.delta
            if said is not None and _is_sound(choice, said):  # the usual case
                return Chunk(
                    choices=(_choice(choice, said, 0),),
                    usage=(
                        None if body.usage is None and choice.usage is None and body.x_groq is None else _usage(body)
                    ),
                    model=body.model or "",
                    source=data,
                )
        return self._several(data, body, choices)

    def _several(self, data: bytes, body: ChatAnswerBody, choices: list[ChoiceBody]) -> Chunk:
        read_choices = [
            _choice(choice, choice.delta or choice.message or _NOTHING, position)
            for position, choice in enumerate(choices)
        ]
        if not all(choice.delta is not None and _is_sound(choice, choice.delta) for choice in choices):
            return self._mended(data, body, read_choices)
        return Chunk(choices=tuple(read_choices), usage=_usage(body), model=body.model or "", source=data)

    def _mended(self, data: bytes, body: ChatAnswerBody, choices: list[Choice]) -> Chunk:
        settled = tuple([self._settled(choice, data) if choice.tool_calls else choice for choice in choices])
        source = mended(data, settled, "delta")
        return Chunk(choices=settled, usage=_usage(body), model=body.model or "", source=source)

    def _settled(self, choice: Choice, data: bytes) -> Choice:
        """With every call under an index of its own, its id and name in its first piece and only there."""
        calls = [self._settled_call(choice.index, call, data) for call in choice.tool_calls]
        return msgspec.structs.replace(choice, tool_calls=tuple(calls))

    def _settled_call(self, choice: int, call: ToolCallDelta, data: bytes) -> ToolCallDelta:
        known = self._calls.get((choice, call.index))
        is_another = known is not None and call.id and known.told_id and call.id != known.told_id
        if known is None or is_another:
            index = call.index if known is None else self._free_index(choice)
            self._calls[choice, call.index] = _Begun(index, call.id)
            call_id = call.id or (_made_up_id(data, choice, index) if call.name else None)
            return msgspec.structs.replace(call, index=index, id=call_id)
        return msgspec.structs.replace(call, index=known.index, id=None, name=None)

    def _free_index(self, choice: int) -> int:
        return 1 + max(begun.index for (of, _), begun in self._calls.items() if of == choice)


class _Begun(msgspec.Struct, gc=False):
    """A call whose first piece has come."""

    index: int
    """What clients know it by."""
    told_id: str | None


def decode_chunk(data: bytes) -> Chunk:
    """One event by itself."""
    return ChatPieces().decode(data)


def decode_whole(body: bytes) -> Chunk:
    """A whole answer. Raises the error it holds, or UpstreamGarbled."""
    answer = read(_decoder, body)
    if not answer.choices:
        raise UpstreamGarbled("The provider's answer has no choices.")
    choices = tuple(
        [
            _choice(choice, choice.message or choice.delta or _NOTHING, position)
            for position, choice in enumerate(answer.choices)
        ]
    )
    source = body
    for choice in answer.choices:
        if choice.message is None or not _is_sound(choice, choice.message):
            choices = tuple([_with_ids(each, body) for each in choices])
            source = mended(body, choices, "message")
            break
    return Chunk(choices=choices, usage=_usage(answer), model=answer.model or "", source=source, whole=True)


def usual(body: bytes) -> tuple[Usage, str] | None:
    """What a whole answer used and which model it says it is of, where nothing about it needs a closer look: `whole`
    would pass it on as it is. None for every other, also for what is no answer at all."""
    answer = _usual(body)
    told = None if answer is None else usage_of(answer.usage)
    return None if answer is None or told is None else (told, answer.model or "")


def usual_whole(body: bytes) -> Chunk | None:
    """The same answer as `decode_whole` reads it."""
    answer = _usual(body)
    if answer is None or answer.choices is None:
        return None
    choices = tuple([_choice(each, each.message or _NOTHING, 0) for each in answer.choices])
    return Chunk(choices=choices, usage=usage_of(answer.usage), model=answer.model or "", source=body, whole=True)


def _usual(body: bytes) -> ChatAnswerBody | None:
    try:
        answer = read(_decoder, body)
    except UpstreamError:
        return None
    if answer.usage is None or answer.x_groq is not None or answer.choices is None or len(answer.choices) != 1:
        return None
    choice = answer.choices[0]
    said = choice.message
    if said is None or said.refusal or choice.finish_reason == "content_filter" or not _is_sound(choice, said):
        return None
    return answer


def _is_sound(choice: ChoiceBody, said: Said) -> bool:
    """Whether nothing about it needs a closer look."""
    return (
        not said.tool_calls  # vLLM tells of none in an empty list
        and said.function_call is None
        and type(said.content) is not list
        and choice.finish_reason != ""
        and choice.index is not None
    )


def _with_ids(choice: Choice, body: bytes) -> Choice:
    calls = [
        call if call.id else msgspec.structs.replace(call, id=_made_up_id(body, choice.index, call.index))
        for call in choice.tool_calls
    ]
    return msgspec.structs.replace(choice, tool_calls=tuple(calls))


def _made_up_id(data: bytes, choice: int, index: int) -> str:
    """For a call that the provider gave none: made from the answer's own id, so that no other answer has it."""
    answer = _identified.decode(data).id or ""
    return "_".join(["call", *filter(None, [answer.removeprefix("chatcmpl-")]), str(choice), str(index)])


class _Identified(msgspec.Struct, gc=False):
    id: str | None = None


_identified = msgspec.json.Decoder(_Identified, strict=False)


def _usage(body: ChatAnswerBody) -> Usage | None:
    told = body.usage
    if told is None and body.x_groq is not None:
        told = body.x_groq.usage
    if told is None and body.choices:
        told = body.choices[-1].usage
    return None if told is None else usage_of(told)


def _choice(choice: ChoiceBody, said: Said, position: int) -> Choice:
    content = said.content
    index = position if choice.index is None else choice.index
    if (
        not said.tool_calls  # vLLM tells of none in an empty list
        and said.reasoning_content is None
        and said.reasoning is None
        and said.thinking is None
        and said.refusal is None
        and said.function_call is None
        and type(content) is not list
        and choice.logprobs is None
    ):
        return Choice(
            index=index,
            role=said.role,
            text=content or "",  # type: ignore[arg-type]  # no list, as tested above
            finish_reason=choice.finish_reason or None,
        )
    reasoning = said.reasoning_content or said.reasoning or said.thinking
    if not reasoning and isinstance(content, list):
        reasoning = _thought(content)
    return Choice(
        index=index,
        role=said.role,
        text=_text(content),
        reasoning=reasoning if isinstance(reasoning, str) else "",
        refusal=said.refusal or "",
        tool_calls=_tool_calls(said),
        finish_reason=choice.finish_reason or None,
        logprobs=choice.logprobs,
    )


def _text(content: str | list[Any] | None) -> str:
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(text for text in parts if isinstance(text, str))
    return content or ""


def _thought(content: list[Any]) -> str:
    """The text of Mistral's parts of type `thinking`, which hold parts again."""
    parts = (part.get("thinking") for part in content if isinstance(part, dict) and part.get("type") == "thinking")
    return "".join(_text(thought) for thought in parts if isinstance(thought, str | list))


def _tool_calls(said: Said) -> tuple[ToolCallDelta, ...]:
    calls = [_tool_call_piece(piece, position) for position, piece in enumerate(said.tool_calls or ())]
    if (called := said.function_call) is not None:
        calls.append(ToolCallDelta(index=len(calls), name=called.name, arguments=_arguments(called)))
    return tuple(calls)


def _tool_call_piece(piece: ToolCallPiece, position: int) -> ToolCallDelta:
    called = piece.function or piece.custom
    return ToolCallDelta(
        index=position if piece.index is None else piece.index,
        id=piece.id or None,
        name=called.name or None if called else None,
        arguments=_arguments(called) if called else "",
        type="function" if piece.custom is None else "custom",
    )


def _arguments(called: FunctionPiece) -> str:
    said = called.arguments if called.arguments is not None else called.input
    return _encode(said).decode() if isinstance(said, dict) else said or ""
