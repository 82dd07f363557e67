"""Writes chat completions for a provider, and reads what it answers."""

from typing import Any

import msgspec

from undercroft.errors import UpstreamGarbled
from undercroft.llm.types import ChatRequest, Choice, Chunk, Content, Message, Part, Tool, ToolCall, ToolCallDelta
from undercroft.wire.openai.quirks import Adaptation
from undercroft.wire.openai.sampling import sampling_fields
from undercroft.wire.openai.upstream import AnswerBody, read, rewritten, usage_of

_encode = msgspec.json.Encoder().encode


def encode_request(request: ChatRequest, *, model: str, ask_usage: bool, adaptation: Adaptation | None = None) -> bytes:
    """The provider's request: the caller's own bytes under the provider's model name, or written anew.

    `ask_usage` makes a stream tell its usage whether the caller asked for it or not. A stage that changes a request
    must drop its `source`.
    """
    ask_usage = ask_usage and request.stream
    if request.source is not None and request.source.dialect == "openai.chat":
        return rewritten(request.source.body, model=model, ask_usage=ask_usage, adaptation=adaptation)
    fields: dict[str, Any] = {"model": model, "messages": [_message(message) for message in request.messages]}
    fields |= sampling_fields(request.sampling)
    if request.sampling.top_k is not None:
        fields["top_k"] = request.sampling.top_k
    if request.sampling.max_tokens is not None:
        fields["max_completion_tokens"] = request.sampling.max_tokens
    if request.stream:
        fields["stream"] = True
        if ask_usage or request.include_usage:
            fields["stream_options"] = {"include_usage": True}
    fields |= _tool_fields(request)
    if request.logprobs:
        fields["logprobs"] = True
        if request.top_logprobs is not None:
            fields["top_logprobs"] = request.top_logprobs
    if request.reasoning_effort is not None:
        fields["reasoning_effort"] = request.reasoning_effort
    if request.end_user:
        fields["user"] = request.end_user
    if adaptation is not None:
        adaptation.apply(fields)
    return _encode(fields)


def _tool_fields(request: ChatRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if request.tools:
        fields["tools"] = [_tool(tool) for tool in request.tools]
    if (choice := _tool_choice(request)) is not None:
        fields["tool_choice"] = choice
    if request.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = request.parallel_tool_calls
    if (shape := _response_format(request)) is not None:
        fields["response_format"] = shape
    return fields


def _message(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": message.role, "content": _content(message.content)}
    if message.name is not None:
        fields["name"] = message.name
    if message.tool_calls:
        fields["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    return fields


def _content(content: Content) -> Any:
    return content if content is None or isinstance(content, str) else [_part(part) for part in content]


def _part(part: Part) -> dict[str, Any]:
    return part.data if part.data is not None else {"type": part.type, part.type: part.text}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    said = "input" if call.type == "custom" else "arguments"
    return {"id": call.id, "type": call.type, call.type: {"name": call.name, said: call.arguments}}


def _tool(tool: Tool) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": tool.name}
    if tool.description:
        fields["description"] = tool.description
    if tool.type == "custom":
        if tool.format is not None:
            fields["format"] = tool.format
    else:
        fields["parameters"] = tool.parameters
        if tool.strict:
            fields["strict"] = True
    return {"type": tool.type, tool.type: fields}


def _tool_choice(request: ChatRequest) -> Any:
    choice = request.tool_choice
    types = {tool.name: tool.type for tool in request.tools}
    if choice.allowed:
        listed = [_named(name, types) for name in choice.allowed]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": listed}}
    if choice.mode == "function":
        return _named(choice.name or "", types)
    return None if choice.mode == "auto" else choice.mode


def _named(name: str, types: dict[str, Any]) -> dict[str, Any]:
    kind = types.get(name, "function")
    return {"type": kind, kind: {"name": name}}


def _response_format(request: ChatRequest) -> dict[str, Any] | None:
    shape = request.response_format
    if shape.type == "text":
        return None
    if shape.type == "json_object":
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": shape.name or "answer", "strict": shape.strict}
    if shape.description is not None:
        schema["description"] = shape.description
    if shape.schema is not None:
        schema["schema"] = shape.schema
    return {"type": "json_schema", "json_schema": schema}


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
    """A stream's delta or a whole answer's message. Mistral writes content as parts, reasoning has two names."""

    role: str | None = None
    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    tool_calls: list[ToolCallPiece] | None = None
    function_call: FunctionPiece | None = None


class ChoiceBody(msgspec.Struct, gc=False):
    """One choice of a whole answer or of a piece."""

    index: int | None = None
    delta: Said | None = None
    message: Said | None = None
    logprobs: Any = None
    finish_reason: str | None = None


class ChatAnswerBody(AnswerBody, gc=False):
    """What is read of an answer or piece; the rest rides along in its source."""

    choices: list[ChoiceBody] | None = None


_decoder = msgspec.json.Decoder(ChatAnswerBody, strict=False)
_NOTHING = Said()


def decode_chunk(data: bytes) -> Chunk:
    """One event's payload. Raises the error it holds, or UpstreamGarbled."""
    body = read(_decoder, data)
    choices = body.choices
    if choices is None:
        # Clients trip over a chunk without `choices`: it is written anew (or, empty, not at all).
        return Chunk(usage=usage_of(body.usage), model=body.model or "")
    return Chunk(
        choices=(_piece(choices[0]),) if len(choices) == 1 else tuple(map(_piece, choices)),
        usage=None if body.usage is None else usage_of(body.usage),
        model=body.model or "",
        source=data,
    )


def decode_whole(body: bytes) -> Chunk:
    """A whole answer. Raises the error it holds, or UpstreamGarbled."""
    answer = read(_decoder, body)
    if not answer.choices:
        raise UpstreamGarbled("The provider's answer has no choices.")
    choices = tuple([_choice(choice, choice.message or choice.delta or _NOTHING) for choice in answer.choices])
    return Chunk(choices=choices, usage=usage_of(answer.usage), model=answer.model or "", source=body, whole=True)


def _piece(choice: ChoiceBody) -> Choice:
    return _choice(choice, choice.delta or choice.message or _NOTHING)


def _choice(choice: ChoiceBody, said: Said) -> Choice:
    content = said.content
    if (
        said.tool_calls is None
        and said.reasoning_content is None
        and said.reasoning is None
        and said.refusal is None
        and said.function_call is None
        and type(content) is not list
        and choice.logprobs is None
    ):
        return Choice(
            index=choice.index or 0,
            role=said.role,
            text=content or "",  # type: ignore[arg-type]  # no list, as tested above
            finish_reason=choice.finish_reason or None,
        )
    reasoning = said.reasoning_content or said.reasoning
    return Choice(
        index=choice.index or 0,
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


def _tool_calls(said: Said) -> tuple[ToolCallDelta, ...]:
    calls = [_tool_call_piece(piece, position) for position, piece in enumerate(said.tool_calls or ())]
    if (called := said.function_call) is not None:
        calls.append(ToolCallDelta(index=len(calls), name=called.name, arguments=_arguments(called)))
    return tuple(calls)


def _tool_call_piece(piece: ToolCallPiece, position: int) -> ToolCallDelta:
    called = piece.function or piece.custom
    return ToolCallDelta(
        index=position if piece.index is None else piece.index,
        id=piece.id,
        name=called.name if called else None,
        arguments=_arguments(called) if called else "",
        type="function" if piece.custom is None else "custom",
    )


def _arguments(called: FunctionPiece) -> str:
    said = called.arguments if called.arguments is not None else called.input
    return _encode(said).decode() if isinstance(said, dict) else said or ""
