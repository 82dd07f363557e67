"""Writes chat completions for a provider."""

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, Content, Message, Part, Tool, ToolCall
from undercroft.wire.openai.quirks import Adaptation
from undercroft.wire.openai.sampling import sampling_fields
from undercroft.wire.openai.upstream import rewritten

_encode = msgspec.json.Encoder().encode


def encode_request(request: ChatRequest, *, model: str, ask_usage: bool, adaptation: Adaptation | None = None) -> bytes:
    """The provider's request: the caller's own bytes under the provider's model name, or written anew.

    `ask_usage` makes a stream tell its usage whether the caller asked for it or not. A stage that changes a request
    must drop its `source`.
    """
    ask_usage = ask_usage and request.stream
    if request.source is not None and request.source.dialect == "openai.chat":
        return rewritten(request.source.body, model=model, ask_usage=ask_usage, adaptation=adaptation)
    if adaptation is not None:
        request = adaptation.portable(request)
    fields: dict[str, Any] = {"model": model, "messages": _messages(request)}
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
        fields["reasoning_effort"] = "xhigh" if request.reasoning_effort == "max" else request.reasoning_effort
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


def _messages(request: ChatRequest) -> list[dict[str, Any]]:
    """In other formats a tool's result may hold images; here it is text, and the user shows them after the last one."""
    if request.source is None:
        return [_message(message) for message in request.messages]
    written: list[dict[str, Any]] = []
    shown: list[Part] = []
    for message in request.messages:
        if message.role == "tool" and isinstance(message.content, tuple):
            shown += [part for part in message.content if part.type != "text"]
            texts = tuple([part for part in message.content if part.type == "text"])
            written.append(_message(replace(message, content=texts or "See what follows.")))
            continue
        if shown and message.role != "tool":
            written.append(_message(Message(role="user", content=tuple(shown))))
            shown = []
        written.append(_message(message))
    if shown:
        written.append(_message(Message(role="user", content=tuple(shown))))
    return written


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
    if content is None or isinstance(content, str):
        return content
    # What another model thought in earlier turns has no place here, and its proof means nothing to anyone else.
    return [_part(part) for part in content if part.type not in _THOUGHTS] or None


_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})


def _part(part: Part) -> dict[str, Any]:
    return part.data if part.data is not None else {"type": part.type, part.type: part.text}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    said = "input" if call.type == "custom" else "arguments"
    return {"id": call.id, "type": call.type, call.type: {"name": call.name, said: call.arguments}}


def _tool(tool: Tool) -> dict[str, Any]:
    if tool.type == "hosted":
        raise InvalidRequest(
            f"The model behind this name cannot use the tool '{tool.name}': it belongs to another provider.",
            code="unsupported_parameter",
            param="tools",
            hint="Declare it with a schema and run it yourself, or ask a model of its own provider.",
        )
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
