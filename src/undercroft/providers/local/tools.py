"""Tool calls for models whose chat template knows none: the answer is held to a JSON schema and read back.

Values in, values out; nothing here runs a model. Only one call is made at a time, and after a tool's result the model
answers in text, so that a conversation comes to an end.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, Message, Tool, ToolCall, ToolCallDelta

ANSWER = "answer"

_EVERYWHERE = frozenset(
    re.findall(
        r"\w+",
        "and are can did doe for from get give has have how into list make new not now set show tell that the them thi "
        "use using wa what when where which who why will with you your",
    )
)
"""Words, without a final s, that say nothing about what a text is about."""


def callable_tools(request: ChatRequest, *, by_words: bool) -> tuple[Tool, ...]:
    """The tools that may be called in the next answer; none means that it is plain text.

    With `by_words` a free choice is offered only among tools that share a word with the user's last message: a model of
    135M that is offered a tool calls it, whatever the question.
    """
    choice = request.tool_choice
    if not request.tools or choice.mode == "none":
        return ()
    for tool in request.tools:
        if tool.type == "hosted":
            raise InvalidRequest(
                f"The local model cannot use the tool '{tool.name}': it belongs to another provider.",
                code="unsupported_parameter",
                param="tools",
            )
    if choice.mode == "auto" and request.messages[-1].role in ("tool", "function"):
        return ()
    if choice.mode == "function":
        found = tuple(tool for tool in request.tools if tool.name == choice.name)
        if not found:
            raise InvalidRequest(f"There is no tool '{choice.name}'.", param="tool_choice")
        return found
    allowed = tuple(tool for tool in request.tools if not choice.allowed or tool.name in choice.allowed)
    if choice.mode == "auto" and by_words:
        asked = _words(next((turn.text() for turn in reversed(request.messages) if turn.role == "user"), ""))
        return tuple(tool for tool in allowed if asked & _words(_described(tool)))
    return allowed


def _described(tool: Tool) -> str:
    properties = tool.parameters.get("properties")
    return " ".join([tool.name, tool.description, *(properties if isinstance(properties, dict) else ())])


def _words(text: str) -> set[str]:
    """Words of three letters and more, without plurals; `getWeather` and `get_weather` are two."""
    found = re.findall(r"[A-Z]?[a-z]{2,}|[A-Z]{3,}", text)
    return {word.lower().removesuffix("s") for word in found if len(word) > 2} - _EVERYWHERE


def answer_schema(
    tools: Sequence[Tool], *, may_answer: bool, answer: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A call of one of the tools or, with `may_answer`, `{"answer": …}` (a text, or what `answer` describes)."""
    definitions: dict[str, Any] = {}
    alternatives = []
    for index, tool in enumerate(tools):
        place = f"tool{index}"
        is_custom = tool.type == "custom"
        definitions[place] = {"type": "string"} if is_custom else _moved(_arguments(tool), f"#/$defs/{place}")
        alternatives.append(_object(name={"const": tool.name}, arguments={"$ref": f"#/$defs/{place}"}))
    if may_answer:
        definitions[ANSWER] = _moved(dict(answer), f"#/$defs/{ANSWER}") if answer else {"type": "string"}
        alternatives.append(_object(**{ANSWER: {"$ref": f"#/$defs/{ANSWER}"}}))
    return {"$defs": definitions, "anyOf": alternatives}


def instructions(tools: Sequence[Tool], *, may_answer: bool) -> str:
    """What the model is told about the tools."""
    lines = ["You can call these functions:"]
    for tool in tools:
        parameters = msgspec.json.encode(_arguments(tool).get("properties", {})).decode()
        lines.append(f"- {tool.name}: {tool.description} Arguments: {parameters}")
    lines.append('To call one, reply with JSON: {"name": "…", "arguments": {…}}.')
    if may_answer:
        lines.append('If no function fits the question, reply with JSON: {"answer": "…"}.')
    return "\n".join(lines)


def read(text: str, tools: Sequence[Tool], *, call_id: str) -> ToolCallDelta | str:
    """The call, or the text of an answer; text that was cut in the middle of JSON comes back as it is."""
    try:
        said = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    if not isinstance(said, dict):
        return text
    if ANSWER in said and "name" not in said:
        answer = said[ANSWER]
        return answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()
    tool = next((tool for tool in tools if tool.name == said.get("name")), None)
    if tool is None:
        return text
    arguments = said.get("arguments")
    written = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    return ToolCallDelta(index=0, id=call_id, name=tool.name, arguments=written, type=tool.type)


def result_text(message: Message, calls: Mapping[str, ToolCall]) -> str:
    """A tool's result, as the user's words; `calls` has the earlier calls by id.

    Of the forms tried, the one that a small model answers from. It repeats any call that it is shown as its own.
    """
    call = calls.get(message.tool_call_id or "")
    asked = f"{call.name}({call.arguments})" if call else message.name or "The result"
    return f"{asked} is {message.text()}. Answer the question."


def _arguments(tool: Tool) -> dict[str, Any]:
    return tool.parameters or {"type": "object", "properties": {}, "additionalProperties": False}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _moved(schema: Any, place: str) -> Any:
    """The schema with its references into itself pointing to where it now stands."""
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: place + value[1:]
        if key == "$ref" and isinstance(value, str) and value.startswith("#")
        else _moved(value, place)
        for key, value in schema.items()
    }
