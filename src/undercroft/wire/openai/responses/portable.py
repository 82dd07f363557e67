"""A Responses request for those who do not speak the format: without what only a provider of it can do."""

from typing import Any, Final

import msgspec

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, Message, Part, Source, ToolChoice
from undercroft.llm.unsupported import Unsupported
from undercroft.wire.openai import chat
from undercroft.wire.openai.responses.items import FOREIGN, PREVIOUS
from undercroft.wire.untranslated import RESPONSES, note_fields

_encode = msgspec.json.Encoder().encode


class _Terms(msgspec.Struct):
    verbosity: str | None = None


class _Shared(msgspec.Struct):
    """Fields that chat completions have under the same name, and our own types have not."""

    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    text: _Terms | None = None
    prompt: Any = None


_shared = msgspec.json.Decoder(_Shared)
_ASIDE: Final = ("thinking", "redacted_thinking")


def portable(request: ChatRequest, unsupported: Unsupported) -> ChatRequest:
    """The request without the provider's own tools, items and prompts. Raises InvalidRequest for what was not to be
    left out, and for a conversation that nobody here knows."""
    source = request.source
    assert source is not None
    if request.prompt is None and _shared.decode(source.body).prompt is not None:
        unsupported.note("prompt", why="Stored prompts are the provider's own.")
    note_fields(source, RESPONSES, unsupported)
    for position, tool in enumerate(request.tools):
        if tool.type == "hosted":
            unsupported.note(f"tools[{position}]", why=f"'{tool.name}' runs at a provider that has it.")
    tools = tuple(tool for tool in request.tools if tool.type != "hosted")
    messages = tuple([message for each in request.messages if (message := _portable(each, unsupported)) is not None])
    choice = request.tool_choice
    if choice.mode != "none":
        choice = _choice(choice, {tool.name for tool in tools})
    return msgspec.structs.replace(request, messages=messages, tools=tools, tool_choice=choice)


def _choice(choice: ToolChoice, names: set[str]) -> ToolChoice:
    """Among the tools that are left."""
    if not names or (choice.name is not None and choice.name not in names):
        return ToolChoice()
    allowed = tuple(name for name in choice.allowed if name in names)
    if choice.allowed and not allowed:
        return ToolChoice(mode="none")
    return msgspec.structs.replace(choice, allowed=allowed)


def _portable(message: Message, unsupported: Unsupported) -> Message | None:
    content = message.content
    if content is None or isinstance(content, str):
        return message
    for part in content:
        told = part.data or {}
        if part.type == PREVIOUS:
            raise unknown_response(str(told["id"]))
        if part.type == FOREIGN:
            unsupported.note(told["where"], why=f"Only OpenAI's own format has '{told['kind']}'.")
    kept = tuple(part for part in content if part.type != FOREIGN)
    if not kept and not message.tool_calls:
        return None
    return msgspec.structs.replace(message, content=kept or None)


def unknown_response(id: str) -> InvalidRequest:
    return InvalidRequest(
        f"Previous response with id '{id}' not found.",
        code="previous_response_not_found",
        param="previous_response_id",
        hint="It was not stored, has been deleted or has expired. Send the earlier items in 'input' instead.",
    )


def as_chat(request: ChatRequest) -> ChatRequest:
    """The same for a provider that speaks chat completions, with the fields that both formats share."""
    source = request.source
    assert source is not None
    messages = tuple([turn for each in request.messages if (turn := _spoken(each)) is not None])
    plain = msgspec.structs.replace(request, messages=messages)
    if not plain.tools:  # what is said of tools where there are none is refused by many
        plain = msgspec.structs.replace(plain, tool_choice=ToolChoice(), parallel_tool_calls=None)
    fields: dict[str, Any] = msgspec.json.decode(chat.encode_request(plain, model="", ask_usage=False))
    shared = _shared.decode(source.body)
    for name in ("service_tier", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"):
        if (value := getattr(shared, name)) is not None:
            fields[name] = value
    if shared.text is not None and shared.text.verbosity is not None:
        fields["verbosity"] = shared.text.verbosity
    return msgspec.structs.replace(plain, source=Source("openai.chat", _encode(fields)))


def _spoken(message: Message) -> Message | None:
    """Chat has no place for what a model thought."""
    content = message.content
    if content is None or isinstance(content, str) or not any(part.type in _ASIDE for part in content):
        return message
    kept: tuple[Part, ...] = tuple(part for part in content if part.type not in _ASIDE)
    if not kept and not message.tool_calls:
        return None
    return msgspec.structs.replace(message, content=kept or None)
