"""Reads a chat completions request."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, Content, Message, Part, Source, ToolCall
from undercroft.wire.body import empty_array, invalid, missing, read, unsupported, wrong_type
from undercroft.wire.openai.chat.tools import (
    Called,
    Function,
    Named,
    ResponseFormatBody,
    ToolBody,
    ToolCallBody,
    ToolChoiceBody,
    read_choice,
    read_format,
    read_function_choice,
    read_tools,
)
from undercroft.wire.openai.sampling import Metadata, Positive, SamplingBody, asks_for_usage, sampling_of
from undercroft.wire.prompts import PromptBody, prompt_use

_ROLES: Final = ("system", "assistant", "user", "function", "tool", "developer")
_PLAIN_ROLES: Final = frozenset({"system", "user", "developer", "assistant"})


class MessageBody(msgspec.Struct, kw_only=True):
    """A message of any role; which fields it needs is decided by `_message`."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[ToolCallBody] | None = None
    tool_call_id: str | None = None
    function_call: Called | None = None
    refusal: str | None = None
    audio: dict[str, Any] | None = None


class ChatBody(SamplingBody, kw_only=True):
    """The fields of a request that undercroft reads; all others ride along in its source."""

    messages: Annotated[list[MessageBody], Meta(min_length=1)]
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: ResponseFormatBody | None = None
    tools: Annotated[list[ToolBody], Meta(max_length=128)] | None = None
    tool_choice: str | ToolChoiceBody | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[Function], Meta(min_length=1, max_length=128)] | None = None
    function_call: str | Named | None = None
    reasoning_effort: str | None = None
    safety_identifier: str | None = None
    store: bool | None = None
    metadata: Metadata | None = None


class PromptedBody(ChatBody, kw_only=True):
    """A request that names a stored prompt: it may have no messages of its own."""

    messages: list[MessageBody] = []
    prompt: PromptBody | None = None


_decoder = msgspec.json.Decoder(ChatBody)
_prompted_decoder = msgspec.json.Decoder(PromptedBody)


def decode(body: bytes) -> ChatRequest:
    """The request, or InvalidRequest in OpenAI's words. `model` is empty where the caller named none."""
    asked = read(_decoder, body) if b'"prompt"' not in body else _with_prompt(body)
    include_usage = asks_for_usage(asked)
    if asked.top_logprobs is not None and not asked.logprobs:
        raise invalid("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", param="top_logprobs")
    if asked.max_tokens is not None and asked.max_completion_tokens is not None:
        raise invalid(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            param="max_tokens",
            code="invalid_parameter_combination",
        )
    plain = ChatRequest(
        model=asked.model or "",
        messages=tuple([_message(message, position) for position, message in enumerate(asked.messages)]),
        sampling=sampling_of(asked, max_tokens=asked.max_completion_tokens or asked.max_tokens),
        stream=bool(asked.stream),
        include_usage=include_usage,
        logprobs=bool(asked.logprobs),
        top_logprobs=asked.top_logprobs,
        parallel_tool_calls=asked.parallel_tool_calls,
        reasoning_effort=asked.reasoning_effort,
        metadata=asked.metadata,
        store=bool(asked.store),
        end_user=asked.user or asked.safety_identifier or "",
        source=Source("openai.chat", body),
        prompt=prompt_use(asked.prompt) if isinstance(asked, PromptedBody) else None,
    )
    if (
        asked.tools is None
        and asked.response_format is None
        and asked.functions is None
        and asked.tool_choice is None
        and asked.function_call is None
    ):
        return plain
    return _with_tools(plain, asked)


def _with_prompt(body: bytes) -> ChatBody:
    """A body that may name a stored prompt; one that does not needs messages like any other."""
    asked = read(_prompted_decoder, body)
    return asked if asked.prompt is not None else read(_decoder, body)


def _with_tools(plain: ChatRequest, asked: ChatBody) -> ChatRequest:
    is_legacy = asked.functions is not None
    if is_legacy and asked.tools is not None:
        raise invalid(
            "'functions' and 'tools' cannot be used together.",
            param="functions",
            code="invalid_parameter_combination",
        )
    tools = read_tools(asked.tools, asked.functions)
    if is_legacy or asked.function_call is not None:
        choice = read_function_choice(asked.function_call, tools)
    else:
        choice = read_choice(asked.tool_choice, tools)
    return msgspec.structs.replace(
        plain,
        tools=tools,
        tool_choice=choice,
        response_format=read_format(asked.response_format),
        legacy_functions=is_legacy,
    )


def _message(message: MessageBody, position: int) -> Message:
    role, content = message.role, message.content
    if (
        isinstance(content, str)
        and role in _PLAIN_ROLES
        and message.name is None
        and message.tool_calls is None
        and message.function_call is None
        and message.refusal is None
    ):
        return Message(role=role, content=content)
    where = f"messages[{position}]"
    if role == "assistant":
        return _assistant(message, where)
    if role not in _ROLES:
        raise unsupported(f"{where}.role", got=role, supported=_ROLES)
    if content is None and role != "function":
        raise _no_content(where)
    if role == "function":
        if message.name is None:
            raise missing(f"{where}.name")
        said = _content(content, where) or ""
        return Message(role="tool", content=said, name=message.name, tool_call_id=_legacy_id(message.name))
    if role == "tool" and message.tool_call_id is None:
        raise missing(f"{where}.tool_call_id")
    return Message(
        role=role,
        content=_content(content, where),
        name=message.name,
        tool_call_id=message.tool_call_id if role == "tool" else None,
    )


def _assistant(message: MessageBody, where: str) -> Message:
    calls = tuple([_tool_call(call, f"{where}.tool_calls[{at}]") for at, call in enumerate(message.tool_calls or ())])
    if (called := message.function_call) is not None:
        calls += (ToolCall(id=_legacy_id(called.name), name=called.name, arguments=called.arguments),)
    content = _content(message.content, where)
    if message.refusal is not None:
        said = (Part(type="text", text=content),) if isinstance(content, str) else content or ()
        content = (*said, Part(type="refusal", text=message.refusal))
    if content is None and not calls:
        if message.audio is None:
            raise _no_content(where)
        content = (Part(type="audio", data={"type": "audio", "audio": message.audio}),)
    return Message(role="assistant", content=content, name=message.name, tool_calls=calls)


def _legacy_id(name: str) -> str:
    """`function_call` and its `function` message are paired by name; everything newer pairs by id."""
    return f"call_{name}"


def _no_content(where: str) -> InvalidRequest:
    return invalid(
        "Invalid value for 'content': expected a string, got null.", param=f"{where}.content", code="invalid_type"
    )


def _content(content: str | list[dict[str, Any]] | None, where: str) -> Content:
    if content is None or isinstance(content, str):
        return content
    if not content:
        raise empty_array(f"{where}.content")
    return tuple([_part(part, f"{where}.content[{at}]") for at, part in enumerate(content)])


def _part(part: dict[str, Any], where: str) -> Part:
    kind = part.get("type")
    if kind is None:
        raise missing(f"{where}.type")
    if not isinstance(kind, str):
        raise wrong_type(f"{where}.type", wanted="a string", got=kind)
    if kind not in ("text", "refusal"):
        return Part(type=kind, data=part, cache_control=_cache_hint(part))
    text = part.get(kind)
    if text is None:
        raise missing(f"{where}.{kind}")
    if not isinstance(text, str):
        raise wrong_type(f"{where}.{kind}", wanted="a string", got=text)
    if len(part) == 2:
        return Part(type=kind, text=text)
    return Part(type=kind, text=text, data=part, cache_control=_cache_hint(part))


def _cache_hint(part: dict[str, Any]) -> dict[str, Any] | None:
    """OpenAI's own way to say that the prompt up to here may be kept, or the one that compatible servers took over."""
    hint = part.get("cache_control")
    if isinstance(hint, dict):
        return hint
    return {"type": "ephemeral"} if isinstance(part.get("prompt_cache_breakpoint"), dict) else None


def _tool_call(call: ToolCallBody, where: str) -> ToolCall:
    if call.type == "function":
        if call.function is None:
            raise missing(f"{where}.function")
        return ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
    if call.type == "custom":
        if call.custom is None:
            raise missing(f"{where}.custom")
        return ToolCall(id=call.id, name=call.custom.name, arguments=call.custom.input, type="custom")
    raise unsupported(f"{where}.type", got=call.type, supported=("function", "custom"))
