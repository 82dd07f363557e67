"""Reads a request for messages, or for their number of tokens."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from undercroft.llm.types import ChatRequest, Message, ResponseFormat, Sampling, Source
from undercroft.wire.anthropic.blocks import read_assistant, read_system, read_user
from undercroft.wire.anthropic.tools import AnthropicToolChoice, read_choice, read_tools
from undercroft.wire.body import missing, read, unsupported
from undercroft.wire.prompts import PromptBody, prompt_use

_ROLES: Final = ("user", "assistant", "system")
_Share = Annotated[float, Meta(ge=0, le=1)]
_Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]

Headers = tuple[tuple[str, str], ...]


class AnthropicTurn(msgspec.Struct, kw_only=True):
    """One turn: text, or blocks of text, images, documents, thinking, calls and results of tools."""

    role: str
    content: str | list[dict[str, Any]]


class AnthropicThinking(msgspec.Struct, kw_only=True):
    """Whether and how much to think before the answer."""

    type: str
    budget_tokens: _Count | None = None


class AnthropicFormat(msgspec.Struct, kw_only=True):
    """The schema an answer must follow."""

    type: str
    schema: dict[str, Any] | None = None


class AnthropicOutput(msgspec.Struct, kw_only=True):
    """How the answer is to be made."""

    effort: str | None = None
    format: AnthropicFormat | None = None


class AnthropicMetadata(msgspec.Struct, kw_only=True):
    """On whose behalf the request is made."""

    user_id: str | None = None


class CountTokensRequest(msgspec.Struct, kw_only=True):
    """A conversation to be counted. Fields that are not described here ride along to Anthropic's own models."""

    model: str | None = None
    messages: Annotated[list[AnthropicTurn], Meta(min_length=1)]
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: AnthropicToolChoice | None = None
    thinking: AnthropicThinking | None = None
    output_config: AnthropicOutput | None = None
    output_format: AnthropicFormat | None = None
    """The older place of `output_config.format`."""


class MessagesRequest(CountTokensRequest, kw_only=True):
    """A conversation to be continued. Fields that are not described here ride along to Anthropic's own models."""

    max_tokens: _Count
    stream: bool | None = None
    temperature: _Share | None = None
    top_p: _Share | None = None
    top_k: _Count | None = None
    stop_sequences: list[str] | None = None
    metadata: AnthropicMetadata | None = None
    prompt: PromptBody | None = None
    """A stored prompt that the conversation begins with."""


class PromptedMessagesRequest(MessagesRequest, kw_only=True):
    """A request that names a stored prompt: it may have no messages of its own."""

    messages: list[AnthropicTurn] = []


_messages = msgspec.json.Decoder(MessagesRequest)
_prompted_messages = msgspec.json.Decoder(PromptedMessagesRequest)
_count = msgspec.json.Decoder(CountTokensRequest)


def decode(body: bytes, *, headers: Headers = ()) -> ChatRequest:
    """The request, or InvalidRequest. `headers` are those that an Anthropic provider must see as well."""
    asked = read(_messages, body) if b'"prompt"' not in body else _with_prompt(body)
    stops = tuple(filter(None, asked.stop_sequences or ()))
    return msgspec.structs.replace(
        _conversation(asked, Source("anthropic.messages", body, headers)),
        sampling=Sampling(
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_k=asked.top_k,
            stop=stops,
            max_tokens=asked.max_tokens,
        ),
        stream=bool(asked.stream),
        end_user=(asked.metadata.user_id if asked.metadata else None) or "",
        prompt=prompt_use(asked.prompt),
    )


def _with_prompt(body: bytes) -> MessagesRequest:
    """A body that may name a stored prompt; one that does not needs messages like any other."""
    asked = read(_prompted_messages, body)
    return asked if asked.prompt is not None else read(_messages, body)


def decode_count(body: bytes, *, headers: Headers = ()) -> ChatRequest:
    """The conversation whose tokens are asked for."""
    return _conversation(read(_count, body), Source("anthropic.messages", body, headers))


def _conversation(asked: CountTokensRequest, source: Source) -> ChatRequest:
    messages: list[Message] = []
    if isinstance(asked.system, str):
        if asked.system:
            messages.append(Message(role="system", content=asked.system))
    elif asked.system:
        messages.append(Message(role="system", content=read_system(asked.system, "system")))
    for position, turn in enumerate(asked.messages):
        messages += _turn(turn, f"messages[{position}]")
    plain = ChatRequest(model=asked.model or "", messages=tuple(messages), source=source)
    if asked.tools is None and asked.tool_choice is None and asked.thinking is None and asked.output_config is None:
        return plain if asked.output_format is None else _with_options(plain, asked)
    return _with_options(plain, asked)


def _with_options(plain: ChatRequest, asked: CountTokensRequest) -> ChatRequest:
    tools = read_tools(asked.tools)
    choice = asked.tool_choice
    output = asked.output_config or AnthropicOutput()
    return msgspec.structs.replace(
        plain,
        tools=tools,
        tool_choice=read_choice(choice, tools),
        parallel_tool_calls=False if choice is not None and choice.disable_parallel_tool_use else None,
        response_format=_format(output.format or asked.output_format),
        reasoning_effort=output.effort,
        reasoning_tokens=_budget(asked.thinking),
    )


def _turn(turn: AnthropicTurn, where: str) -> list[Message]:
    role, content = turn.role, turn.content
    if role not in _ROLES:
        raise unsupported(f"{where}.role", got=role, supported=_ROLES)
    if isinstance(content, str):
        return [Message(role=role, content=content)]
    if role == "user":
        return read_user(content, where)
    if role == "assistant":
        return [read_assistant(content, where)]
    return [Message(role="system", content=read_system(content, f"{where}.content"))]


def _format(asked: AnthropicFormat | None) -> ResponseFormat:
    if asked is None:
        return ResponseFormat()
    if asked.type != "json_schema":
        raise unsupported("output_config.format.type", got=asked.type, supported=("json_schema",))
    if asked.schema is None:
        raise missing("output_config.format.schema")
    return ResponseFormat(type="json_schema", schema=asked.schema, strict=True)


def _budget(thinking: AnthropicThinking | None) -> int | None:
    """Tokens for thinking: none when it is switched off, unsaid when the model is to decide."""
    if thinking is None:
        return None
    if thinking.type == "disabled":
        return 0
    if thinking.type == "enabled" and thinking.budget_tokens is None:
        raise missing("thinking.budget_tokens")
    return thinking.budget_tokens
