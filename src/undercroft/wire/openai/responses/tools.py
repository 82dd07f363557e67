"""Reads the tools of a Responses request, which of them to call, and the shape its answer must have."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from undercroft.llm.types import ResponseFormat, Tool, ToolChoice
from undercroft.wire.body import invalid, missing, unsupported, wrong_type

_WORDS: Final = ("none", "auto", "required")


class FunctionBody(msgspec.Struct, kw_only=True):
    """A function the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class CustomBody(msgspec.Struct, kw_only=True):
    """A tool that takes free-form input."""

    name: str
    description: str | None = None
    format: dict[str, Any] | None = None


class FormatBody(msgspec.Struct, kw_only=True):
    """The shape of the answer's text."""

    type: str
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


def read_tools(tools: Sequence[dict[str, Any]]) -> tuple[Tool, ...]:
    """Functions and custom tools as they are; whatever else there is, is the provider's own. Raises InvalidRequest."""
    return tuple([_tool(tool, f"tools[{position}]") for position, tool in enumerate(tools)])


def _tool(tool: dict[str, Any], where: str) -> Tool:
    kind = tool.get("type")
    if kind is None:
        raise missing(f"{where}.type")
    if not isinstance(kind, str):
        raise wrong_type(f"{where}.type", wanted="a string", got=kind)
    if kind == "function":
        function = _converted(tool, FunctionBody, where)
        return Tool(
            name=function.name,
            description=function.description or "",
            parameters=function.parameters or {},
            strict=bool(function.strict),
        )
    if kind == "custom":
        custom = _converted(tool, CustomBody, where)
        return Tool(
            name=custom.name, description=custom.description or "", type="custom", format=_grammar(custom.format)
        )
    return Tool(name=kind, type="hosted", format=tool)


def _grammar(format: dict[str, Any] | None) -> dict[str, Any] | None:
    """In chat's form, which has the grammar one level deeper."""
    if format is None or format.get("type") != "grammar" or "grammar" in format:
        return format
    inner = {name: value for name, value in format.items() if name != "type"}
    return {"type": "grammar", "grammar": inner}


def _converted(tool: dict[str, Any], shape: type[Any], where: str) -> Any:
    try:
        return msgspec.convert(tool, shape)
    except msgspec.ValidationError as error:
        if "name" not in tool:
            raise missing(f"{where}.name") from error
        raise invalid(f"Invalid value for '{where}': {error}.", param=where) from error


def read_choice(choice: str | dict[str, Any] | None, tools: tuple[Tool, ...]) -> ToolChoice:
    """A word, one tool, or those to choose from. Raises InvalidRequest."""
    if choice is None or choice == "auto":
        return ToolChoice()
    if isinstance(choice, str):
        if choice not in _WORDS:
            raise unsupported("tool_choice", got=choice, supported=_WORDS)
        if choice == "required" and not tools:
            raise invalid("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
        return ToolChoice(mode="required" if choice == "required" else "none")
    if choice.get("type") == "allowed_tools":
        return _allowed(choice, tools)
    return ToolChoice(mode="function", name=_named(choice, tools, "tool_choice"))


def _allowed(choice: dict[str, Any], tools: tuple[Tool, ...]) -> ToolChoice:
    listed = choice.get("tools")
    if not isinstance(listed, list) or not listed:
        raise missing("tool_choice.tools")
    names = [_named(tool, tools, f"tool_choice.tools[{position}]") for position, tool in enumerate(listed)]
    mode = choice.get("mode", "auto")
    if mode not in ("auto", "required"):
        raise unsupported("tool_choice.mode", got=str(mode), supported=("auto", "required"))
    return ToolChoice(mode="required" if mode == "required" else "auto", allowed=tuple(names))


def _named(choice: Any, tools: tuple[Tool, ...], where: str) -> str:
    """The tool's name; one of the provider's own goes by its type."""
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(kind, str):
        raise missing(f"{where}.type")
    name = choice.get("name", None if kind in ("function", "custom") else kind)
    if not isinstance(name, str):
        raise missing(f"{where}.name")
    if kind not in ("function", "custom"):
        name = kind
    if not any(tool.name == name for tool in tools):
        raise invalid(f"Tool choice '{name}' not found in 'tools' parameter.", param="tool_choice")
    return name


def read_format(asked: FormatBody | None) -> ResponseFormat:
    """Raises InvalidRequest."""
    if asked is None or asked.type == "text":
        return ResponseFormat()
    if asked.type == "json_object":
        return ResponseFormat(type="json_object")
    if asked.type != "json_schema":
        raise unsupported("text.format.type", got=asked.type, supported=("text", "json_object", "json_schema"))
    if asked.name is None:
        raise missing("text.format.name")
    if asked.schema is None:
        raise missing("text.format.schema")
    return ResponseFormat(
        type="json_schema",
        name=asked.name,
        description=asked.description,
        schema=asked.schema,
        strict=bool(asked.strict),
    )
