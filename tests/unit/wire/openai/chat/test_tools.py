import json
from typing import Any

import pytest

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, ResponseFormat, Tool, ToolChoice
from undercroft.wire.openai.chat import decode

F = {"type": "function", "function": {"name": "f"}}
G = {"type": "custom", "custom": {"name": "g", "description": "d", "format": {"type": "text"}}}


def asked(**fields: Any) -> ChatRequest:
    return decode(json.dumps({"messages": [{"role": "user", "content": "x"}], **fields}).encode())


def test_tools_of_both_kinds_are_read() -> None:
    schema = {"type": "object", "properties": {}}
    full = {"type": "function", "function": {"name": "h", "description": "d", "parameters": schema, "strict": True}}
    assert asked(tools=[F, G, full]).tools == (
        Tool(name="f"),
        Tool(name="g", description="d", type="custom", format={"type": "text"}),
        Tool(name="h", description="d", parameters=schema, strict=True),
    )


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice()),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        (F, ToolChoice(mode="function", name="f")),
        (G, ToolChoice(mode="function", name="g")),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [F]}},
            ToolChoice(mode="required", allowed=("f",)),
        ),
    ],
)
def test_which_tool_to_call_is_read(choice: Any, read: ToolChoice) -> None:
    assert asked(tools=[F, G], tool_choice=choice).tool_choice == read


@pytest.mark.parametrize(
    ("asked_format", "read"),
    [
        ({"type": "text"}, ResponseFormat()),
        ({"type": "json_object"}, ResponseFormat(type="json_object")),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
            ResponseFormat(type="json_schema", name="n", schema={"type": "object"}, strict=True),
        ),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, ResponseFormat(type="json_schema", name="n")),
    ],
)
def test_the_shape_of_the_answer_is_read(asked_format: Any, read: ResponseFormat) -> None:
    assert asked(response_format=asked_format).response_format == read


def test_the_older_functions_are_tools_and_remembered_as_such() -> None:
    request = asked(functions=[{"name": "f", "parameters": {"type": "object"}}], function_call={"name": "f"})
    assert request.tools == (Tool(name="f", parameters={"type": "object"}),)
    assert request.tool_choice == ToolChoice(mode="function", name="f")
    assert request.legacy_functions
    assert not asked(tools=[F]).legacy_functions


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
        ({"tools": [F, {"type": "custom"}]}, "tools[1].custom", "missing_required_parameter"),
        ({"tools": [{"function": {"name": "f"}}]}, "tools[0].type", "missing_required_parameter"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "invalid_value"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", "missing_required_parameter"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name", "empty_string"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
            "tools[0].function.parameters",
            "invalid_type",
        ),
        ({"tools": {}}, "tools", "invalid_type"),
        ({"tools": [F] * 129}, "tools", "array_above_max_length"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tool_choice": F}, "tool_choice", "invalid_value"),
        ({"tools": [F], "tool_choice": "always"}, "tool_choice", "invalid_value"),
        ({"tools": [F], "tool_choice": 5}, "tool_choice", "invalid_type"),
        ({"tools": [F], "tool_choice": {"type": "function"}}, "tool_choice.function", "missing_required_parameter"),
        ({"tools": [F], "tool_choice": {"type": "magic"}}, "tool_choice.type", "invalid_value"),
        ({"tools": [F], "tool_choice": G}, "tool_choice", "invalid_value"),
        (
            {"tools": [F], "tool_choice": {"type": "allowed_tools"}},
            "tool_choice.allowed_tools",
            "missing_required_parameter",
        ),
        (
            {"tools": [F], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "all", "tools": [F]}}},
            "tool_choice.allowed_tools.mode",
            "invalid_value",
        ),
        ({"functions": []}, "functions", "empty_array"),
        ({"functions": [{"name": "f"}], "tools": [F]}, "functions", "invalid_parameter_combination"),
        ({"functions": [{"name": "f"}], "function_call": "always"}, "function_call", "invalid_value"),
        ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call", "invalid_value"),
        ({"response_format": "json"}, "response_format", "invalid_type"),
        ({"response_format": {}}, "response_format.type", "missing_required_parameter"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "missing_required_parameter"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            "response_format.json_schema.name",
            "missing_required_parameter",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": "yes"}}},
            "response_format.json_schema.strict",
            "invalid_type",
        ),
    ],
)
def test_a_malformed_tool_or_format_is_refused_by_its_name(fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked(**fields)
    assert (caught.value.param, caught.value.code) == (param, code)
