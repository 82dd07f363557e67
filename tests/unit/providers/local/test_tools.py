"""Tools by schema: what is offered, what the model is held to, and what its text is read as."""

from typing import Any

import pytest

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, Message, Tool, ToolCall, ToolCallDelta, ToolChoice
from undercroft.providers.local.tools import answer_schema, callable_tools, read, result_text

WEATHER = Tool(
    name="get_weather",
    description="The weather in a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
ADD = Tool(name="addNumbers", description="Sums up.", parameters={"type": "object", "properties": {"a": {}, "b": {}}})
TAKES_TEXT = Tool(name="run_query", type="custom", description="Runs SQL.")


def _asked(text: str, choice: ToolChoice, *, role: str = "user") -> ChatRequest:
    messages = (Message(role="user", content="Hello"), Message(role=role, content=text))
    return ChatRequest(model="local", messages=messages, tools=(WEATHER, ADD), tool_choice=choice)


@pytest.mark.parametrize(
    ("text", "choice", "offered"),
    [
        ("What is the weather in Paris?", ToolChoice(), (WEATHER,)),
        ("Which cities are warm?", ToolChoice(), ()),
        ("Give me the numbers", ToolChoice(), (ADD,)),
        ("What is the capital of France?", ToolChoice(), ()),
        ("What is the capital of France?", ToolChoice(mode="required"), (WEATHER, ADD)),
        ("What is the weather in Paris?", ToolChoice(mode="none"), ()),
        ("Hi", ToolChoice(mode="function", name="addNumbers"), (ADD,)),
        ("Hi", ToolChoice(mode="required", allowed=("get_weather",)), (WEATHER,)),
    ],
)
def test_a_small_model_is_offered_the_tools_that_the_question_is_about(
    text: str, choice: ToolChoice, offered: tuple[Tool, ...]
) -> None:
    assert callable_tools(_asked(text, choice), by_words=True) == offered


def test_a_larger_model_chooses_for_itself() -> None:
    assert callable_tools(_asked("What is the capital of France?", ToolChoice()), by_words=False) == (WEATHER, ADD)


def test_after_a_result_comes_text_so_that_the_conversation_ends() -> None:
    assert callable_tools(_asked("sunny weather", ToolChoice(), role="tool"), by_words=False) == ()


def test_a_tool_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no tool 'fly'"):
        callable_tools(_asked("Hi", ToolChoice(mode="function", name="fly")), by_words=True)


def test_references_inside_a_tools_schema_still_point_into_it() -> None:
    parameters = {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/point"}},
        "$defs": {"point": {"type": "object", "properties": {"$ref": {"type": "string"}}}},
    }
    schema = answer_schema([WEATHER, Tool(name="move", parameters=parameters)], may_answer=False)
    moved = schema["$defs"]["tool1"]
    assert moved["properties"]["at"] == {"$ref": "#/$defs/tool1/$defs/point"}
    assert moved["$defs"] == parameters["$defs"]
    assert [part["properties"]["name"] for part in schema["anyOf"]] == [{"const": "get_weather"}, {"const": "move"}]


def test_only_a_free_choice_has_an_answer_among_its_alternatives() -> None:
    assert len(answer_schema([WEATHER], may_answer=False)["anyOf"]) == 1
    assert answer_schema([WEATHER], may_answer=True)["anyOf"][1]["required"] == ["answer"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"answer": "Paris"}', "Paris"),
        ('{"answer": {"city": "Paris"}}', '{"city":"Paris"}'),
        ('{"name": "get_weather", "argum', '{"name": "get_weather", "argum'),
        ('{"name": "unknown", "arguments": {}}', '{"name": "unknown", "arguments": {}}'),
        ("[1]", "[1]"),
        ("just text", "just text"),
    ],
)
def test_what_is_no_call_is_text(text: str, expected: str) -> None:
    assert read(text, [WEATHER], call_id="call_1") == expected


def test_a_call_is_read_with_its_arguments_as_json_text() -> None:
    said = read('{ "name": "get_weather",\n "arguments": { "city": "Paris" } }', [WEATHER], call_id="call_1")
    assert said == ToolCallDelta(index=0, id="call_1", name="get_weather", arguments='{"city":"Paris"}')


def test_a_custom_tool_gets_its_input_as_it_is() -> None:
    said = read('{"name": "run_query", "arguments": "select 1"}', [TAKES_TEXT], call_id="call_1")
    assert said == ToolCallDelta(index=0, id="call_1", name="run_query", arguments="select 1", type="custom")
    schema: dict[str, Any] = answer_schema([TAKES_TEXT], may_answer=False)
    assert schema["$defs"]["tool0"] == {"type": "string"}


def test_a_result_names_the_call_it_belongs_to() -> None:
    calls = {"call_1": ToolCall(id="call_1", name="add", arguments='{"a":1}')}
    told = result_text(Message(role="tool", content="7", tool_call_id="call_1"), calls)
    assert told == 'add({"a":1}) is 7. Answer the question.'
    assert result_text(Message(role="tool", content="7", tool_call_id="lost"), calls).startswith("The result is 7.")
