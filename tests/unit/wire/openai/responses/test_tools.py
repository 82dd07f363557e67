from typing import Any

import pytest

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ResponseFormat, Tool, ToolChoice
from undercroft.wire.openai.responses.tools import FormatBody, read_choice, read_format, read_tools

TOOLS = (Tool(name="f"), Tool(name="g", type="custom"), Tool(name="web_search", type="hosted"))


def test_functions_custom_tools_and_the_providers_own() -> None:
    search = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}
    found = read_tools(
        [
            {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
            {"type": "function", "name": "loose", "parameters": None, "strict": None},
            {"type": "custom", "name": "g", "format": grammar},
            search,
        ]
    )
    assert found == (
        Tool(name="f", description="d", parameters={"type": "object"}, strict=True),
        Tool(name="loose"),
        Tool(
            name="g",
            type="custom",
            format={"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /a/"}},
        ),
        Tool(name="file_search", type="hosted", format=search),
    )


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice()),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "name": "f"}, ToolChoice(mode="function", name="f")),
        ({"type": "custom", "name": "g"}, ToolChoice(mode="function", name="g")),
        ({"type": "web_search"}, ToolChoice(mode="function", name="web_search")),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice(mode="required", allowed=("f",)),
        ),
    ],
)
def test_which_tool_to_call(choice: Any, read: ToolChoice) -> None:
    assert read_choice(choice, TOOLS) == read


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ("sometimes", "tool_choice"),
        ({"type": "function", "name": "nobody"}, "tool_choice"),
        ({"type": "function"}, "tool_choice.name"),
        ({"name": "f"}, "tool_choice.type"),
        ({"type": "allowed_tools"}, "tool_choice.tools"),
        ({"type": "allowed_tools", "mode": "x", "tools": [{"type": "function", "name": "f"}]}, "tool_choice.mode"),
        ({"type": "file_search"}, "tool_choice"),
    ],
)
def test_a_wrong_choice_is_named(choice: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as wrong:
        read_choice(choice, TOOLS)
    assert wrong.value.param == param


@pytest.mark.parametrize("tool", [{}, {"type": 1}, {"type": "function"}, {"type": "custom"}])
def test_a_wrong_tool_is_named(tool: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as wrong:
        read_tools([tool])
    assert (wrong.value.param or "").startswith("tools[0]")


def test_the_shape_of_the_answer() -> None:
    assert read_format(None) == read_format(FormatBody(type="text")) == ResponseFormat()
    assert read_format(FormatBody(type="json_object")) == ResponseFormat(type="json_object")
    schema = FormatBody(type="json_schema", name="n", schema={"type": "object"}, strict=True)
    assert read_format(schema) == ResponseFormat(type="json_schema", name="n", schema={"type": "object"}, strict=True)
    for wrong, param in (
        (FormatBody(type="yaml"), "text.format.type"),
        (FormatBody(type="json_schema", schema={}), "text.format.name"),
        (FormatBody(type="json_schema", name="n"), "text.format.schema"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            read_format(wrong)
        assert refused.value.param == param
