"""Reads the tools of a chat request, which of them to call, and the shape its answer must have."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from undercroft.llm.types import ResponseFormat, Tool, ToolChoice
from undercroft.wire.body import invalid, missing, unsupported

Name = Annotated[str, Meta(min_length=1, max_length=256)]

_KINDS: Final = ("function", "custom")


class Called(msgspec.Struct, kw_only=True):
    """A function that was called."""

    name: str
    arguments: str


class CalledCustomTool(msgspec.Struct, kw_only=True):
    """A custom tool that was called."""

    name: str
    input: str


class ToolCallBody(msgspec.Struct, kw_only=True):
    """A call in an assistant's message."""

    id: str
    type: str = "function"
    function: Called | None = None
    custom: CalledCustomTool | None = None


class Function(msgspec.Struct, kw_only=True):
    """A function the model may call."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class CustomTool(msgspec.Struct, kw_only=True):
    """A tool that takes free-form input."""

    name: Name
    description: str | None = None
    format: dict[str, Any] | None = None


class ToolBody(msgspec.Struct, kw_only=True):
    """A tool of either kind."""

    type: str
    function: Function | None = None
    custom: CustomTool | None = None


class Named(msgspec.Struct, kw_only=True):
    """A tool by its name."""

    name: str


class NamedTool(msgspec.Struct, kw_only=True):
    """A tool of either kind, by its name."""

    type: str
    function: Named | None = None
    custom: Named | None = None


class AllowedTools(msgspec.Struct, kw_only=True):
    """Which tools may be called at all."""

    mode: Literal["auto", "required"]
    tools: list[NamedTool]


class ToolChoiceBody(NamedTool, kw_only=True):
    """One tool to call, or those to choose from."""

    allowed_tools: AllowedTools | None = None


class JsonSchemaBody(msgspec.Struct, kw_only=True):
    """The schema an answer must follow."""

    name: Name
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormatBody(msgspec.Struct, kw_only=True):
    """The shape of the answer."""

    type: str
    json_schema: JsonSchemaBody | None = None


def read_tools(tools: list[ToolBody] | None, functions: list[Function] | None) -> tuple[Tool, ...]:
    if functions is not None:
        return tuple([_function(function) for function in functions])
    return tuple([_tool(tool, f"tools[{position}]") for position, tool in enumerate(tools or ())])


def _tool(tool: ToolBody, where: str) -> Tool:
    if tool.type == "function":
        if tool.function is None:
            raise missing(f"{where}.function")
        return _function(tool.function)
    if tool.type == "custom":
        if tool.custom is None:
            raise missing(f"{where}.custom")
        custom = tool.custom
        return Tool(name=custom.name, description=custom.description or "", type="custom", format=custom.format)
    raise unsupported(f"{where}.type", got=tool.type, supported=_KINDS)


def _function(function: Function) -> Tool:
    return Tool(
        name=function.name,
        description=function.description or "",
        parameters=function.parameters or {},
        strict=bool(function.strict),
    )


def read_choice(choice: str | ToolChoiceBody | None, tools: tuple[Tool, ...]) -> ToolChoice:
    if choice is None or choice == "auto":
        return ToolChoice()
    if choice == "none":
        return ToolChoice(mode="none")
    if isinstance(choice, str) and choice != "required":
        raise unsupported("tool_choice", got=choice, supported=("none", "auto", "required"))
    if not tools:
        raise invalid("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if isinstance(choice, str):
        return ToolChoice(mode="required")
    if choice.type != "allowed_tools":
        name = _name(choice, "tool_choice", supported=(*_KINDS, "allowed_tools"))
        _expect_declared(name, tools, param="tool_choice")
        return ToolChoice(mode="function", name=name)
    if choice.allowed_tools is None:
        raise missing("tool_choice.allowed_tools")
    mode, listed = choice.allowed_tools.mode, choice.allowed_tools.tools
    names = [_name(tool, f"tool_choice.allowed_tools.tools[{position}]") for position, tool in enumerate(listed)]
    for name in names:
        _expect_declared(name, tools, param="tool_choice")
    return ToolChoice(mode=mode, allowed=tuple(names))


def read_function_choice(choice: str | Named | None, tools: tuple[Tool, ...]) -> ToolChoice:
    """The older `function_call`: a word or a name."""
    if choice is None or choice == "auto":
        return ToolChoice()
    if choice == "none":
        return ToolChoice(mode="none")
    if isinstance(choice, str):
        raise unsupported("function_call", got=choice, supported=("none", "auto"))
    _expect_declared(choice.name, tools, param="function_call")
    return ToolChoice(mode="function", name=choice.name)


def _name(tool: NamedTool, where: str, *, supported: tuple[str, ...] = _KINDS) -> str:
    if tool.type not in _KINDS:
        raise unsupported(f"{where}.type", got=tool.type, supported=supported)
    named = tool.function if tool.type == "function" else tool.custom
    if named is None:
        raise missing(f"{where}.{tool.type}")
    return named.name


def _expect_declared(name: str, tools: tuple[Tool, ...], *, param: str) -> None:
    if not any(tool.name == name for tool in tools):
        listed = "functions" if param == "function_call" else "tools"
        raise invalid(f"Tool choice '{name}' not found in '{listed}' parameter.", param=param)


def read_format(asked: ResponseFormatBody | None) -> ResponseFormat:
    if asked is None or asked.type == "text":
        return ResponseFormat()
    if asked.type == "json_object":
        return ResponseFormat(type="json_object")
    if asked.type != "json_schema":
        raise unsupported("response_format.type", got=asked.type, supported=("text", "json_object", "json_schema"))
    declared = asked.json_schema
    if declared is None:
        raise missing("response_format.json_schema")
    return ResponseFormat(
        type="json_schema",
        name=declared.name,
        description=declared.description,
        schema=declared.schema,
        strict=bool(declared.strict),
    )
