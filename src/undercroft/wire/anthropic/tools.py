"""Reads the tools of a request and which of them to call, and writes them for a provider."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from undercroft.llm.types import ChatRequest, Tool, ToolChoice
from undercroft.llm.unsupported import Unsupported
from undercroft.wire.body import invalid, missing, unsupported

_CHOICES: Final = ("auto", "any", "tool", "none")
_MODES: Final = {"auto": "auto", "required": "any", "function": "tool", "none": "none"}


class AnthropicTool(msgspec.Struct, kw_only=True):
    """A tool the caller runs, or (by its `type`) one that Anthropic knows or runs itself."""

    type: str | None = None
    name: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: dict[str, Any] | None = None


class AnthropicToolChoice(msgspec.Struct, kw_only=True):
    """`auto`, `any`, `tool` (with its name) or `none`."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


def read_tools(tools: list[dict[str, Any]] | None) -> tuple[Tool, ...]:
    """The tools, those of Anthropic's own with their whole declaration."""
    return tuple([_read_tool(declared, f"tools[{position}]") for position, declared in enumerate(tools or ())])


def _read_tool(declared: dict[str, Any], where: str) -> Tool:
    try:
        tool = msgspec.convert(declared, AnthropicTool)
    except msgspec.ValidationError as error:
        raise invalid(f"Invalid value for '{where}': {error}.", param=where, code="invalid_type") from error
    if tool.type not in (None, "custom"):
        return Tool(name=tool.name or tool.type or "", type="hosted", format=declared)
    if tool.name is None:
        raise missing(f"{where}.name")
    if tool.input_schema is None:
        raise missing(f"{where}.input_schema")
    return Tool(
        name=tool.name,
        description=tool.description or "",
        parameters=tool.input_schema,
        strict=bool(tool.strict),
        cache_control=tool.cache_control,
    )


def read_choice(choice: AnthropicToolChoice | None, tools: tuple[Tool, ...]) -> ToolChoice:
    if choice is None or choice.type == "auto":
        return ToolChoice()
    if choice.type == "none":
        return ToolChoice(mode="none")
    if choice.type not in _CHOICES:
        raise unsupported("tool_choice.type", got=choice.type, supported=_CHOICES)
    if not tools:
        raise invalid("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if choice.type == "any":
        return ToolChoice(mode="required")
    if choice.name is None:
        raise missing("tool_choice.name")
    if not any(tool.name == choice.name for tool in tools):
        raise invalid(f"Tool '{choice.name}' not found in provided tools.", param="tool_choice.name")
    return ToolChoice(mode="function", name=choice.name)


def write_tools(request: ChatRequest, lost: Unsupported) -> list[dict[str, Any]]:
    """The tools that may be called; Anthropic cannot narrow a list down, so the others are not mentioned."""
    allowed = request.tool_choice.allowed
    written = []
    for tool in request.tools:
        if allowed and tool.name not in allowed:
            continue
        if tool.type != "function":
            kind = "free-form input" if tool.type == "custom" else "another provider's own"
            lost.note("tools", why=f"The tool '{tool.name}' is {kind}; it takes functions.")
            continue
        fields: dict[str, Any] = {"name": tool.name, "input_schema": tool.parameters or {"type": "object"}}
        if "type" not in fields["input_schema"]:
            fields["input_schema"] = {"type": "object", **tool.parameters}
        if tool.description:
            fields["description"] = tool.description
        if tool.strict:
            fields["strict"] = True
        if tool.cache_control is not None:
            fields["cache_control"] = tool.cache_control
        written.append(fields)
    return written


def write_choice(request: ChatRequest) -> dict[str, Any] | None:
    """Which tool to call; None leaves it at Anthropic's default, which is `auto` and in parallel."""
    choice = request.tool_choice
    fields: dict[str, Any] = {"type": _MODES[choice.mode]}
    if choice.mode == "function":
        fields["name"] = choice.name
    if request.parallel_tool_calls is False and choice.mode != "none":
        fields["disable_parallel_tool_use"] = True
    return None if fields == {"type": "auto"} else fields
