"""Requests as a provider of Anthropic's format takes them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from undercroft.errors import InvalidRequest
from undercroft.llm.types import (
    ChatRequest,
    Message,
    Part,
    ResponseFormat,
    Sampling,
    Tool,
    ToolCall,
    ToolChoice,
)
from undercroft.llm.unsupported import Unsupported
from undercroft.wire.anthropic import decode, encode_count, encode_request
from undercroft.wire.anthropic.upstream import ANSWER_TOOL, DEFAULT_MAX_TOKENS, generation

HI = (Message(role="user", content="Hi"),)
WEATHER = Tool(name="get_weather", description="The weather.", parameters={"type": "object", "properties": {}})
SCHEMA = {"type": "object", "properties": {"inner": {"type": "object", "properties": {}}}}


def request(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest(model="public", messages=messages or HI, **fields)


def written(asked: ChatRequest, *, model: str = "claude-sonnet-5-5", drop: bool = False) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(
        encode_request(asked, model=model, lost=Unsupported(model, drop=drop)).body
    )
    return fields


def test_a_plain_request_has_what_is_needed_and_no_more() -> None:
    assert written(request()) == {
        "model": "claude-sonnet-5-5",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": DEFAULT_MAX_TOKENS,
    }


def test_the_options_have_anthropics_names() -> None:
    sampling = Sampling(temperature=0.5, top_p=0.9, top_k=4, stop=("END",), max_tokens=9)
    fields = written(request(sampling=sampling, stream=True, end_user="u-1"))
    assert fields["temperature"] == 0.5
    assert fields["top_p"] == 0.9
    assert fields["top_k"] == 4
    assert fields["stop_sequences"] == ["END"]
    assert fields["max_tokens"] == 9
    assert fields["stream"] is True
    assert fields["metadata"] == {"user_id": "u-1"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.from_regex(r"x_[a-z]{1,8}", fullmatch=True), json_values, max_size=4))
def test_a_caller_of_the_same_format_keeps_every_field(more: dict[str, Any]) -> None:
    body = {"model": "public", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi", "x_new": 1}], **more}
    asked = decode(msgspec.json.encode(body))
    assert written(asked) == {**body, "model": "claude-sonnet-5-5"}
    assert msgspec.json.decode(encode_count(asked, model="other")) == {**body, "model": "other"}


def test_a_caller_of_the_same_format_may_name_no_model() -> None:
    body = {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    assert written(decode(msgspec.json.encode(body)))["model"] == "claude-sonnet-5-5"


def test_system_messages_are_gathered_at_the_top() -> None:
    one = written(request(Message(role="developer", content="Be brief."), *HI))
    assert (one["system"], len(one["messages"])) == ("Be brief.", 1)
    two = written(request(Message(role="system", content="A"), *HI, Message(role="system", content="B")))
    assert two["system"] == [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]


def test_results_of_tools_are_one_turn_with_what_the_user_says_next() -> None:
    calls = (ToolCall(id="a.1", name="f", arguments='{"x":1}'), ToolCall(id="b", name="f", arguments="not json"))
    fields = written(
        request(
            *HI,
            Message(role="assistant", content="Let me see.", tool_calls=calls),
            Message(role="tool", content="one", tool_call_id="a.1"),
            Message(role="tool", content=(Part(type="text", text="two"),), tool_call_id="b", is_error=True),
            Message(role="user", content="Well?"),
        )
    )
    assert fields["messages"][1:] == [
        {"role": "assistant", "content": [
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "a_1", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "b", "name": "f", "input": {"arguments": "not json"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a_1", "content": "one"},
            {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "two"}],
             "is_error": True},
            {"type": "text", "text": "Well?"},
        ]},
    ]  # fmt: skip


def test_an_assistants_empty_turn_is_left_out() -> None:
    fields = written(request(*HI, Message(role="assistant", content=""), Message(role="user", content="Hello?")))
    assert [turn["role"] for turn in fields["messages"]] == ["user", "user"]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            Part(type="image_url", data={"image_url": {"url": "data:image/png;base64,AAAA"}}),
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        ),
        (
            Part(type="image_url", data={"image_url": {"url": "https://x/a.png", "detail": "high"}}),
            {"type": "image", "source": {"type": "url", "url": "https://x/a.png"}},
        ),
        (
            Part(type="file", data={"file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
                "title": "a.pdf",
            },
        ),
        (
            Part(type="file", data={"file": {"file_data": "data:image/png;base64,AAAA"}}),
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        ),
        (
            Part(type="text", text="x", cache_control={"type": "ephemeral"}),
            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
        ),
        (
            Part(type="thinking", text="Hm.", data={"signature": "s"}),
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        ),
        (Part(type="redacted_thinking", data={"data": "d"}), {"type": "redacted_thinking", "data": "d"}),
        (Part(type="thinking", text="Hm."), None),
        (Part(type="text", text=""), None),
    ],
)
def test_parts_become_blocks(part: Part, block: dict[str, Any] | None) -> None:
    last = Part(type="text", text="end")
    fields = written(request(Message(role="user", content=(part, last))))
    assert fields["messages"][0]["content"] == [*([block] if block else []), {"type": "text", "text": "end"}]


LACKING = [
    ("n", {"sampling": Sampling(n=2)}),
    ("logprobs", {"logprobs": True}),
    ("logit_bias", {"sampling": Sampling(logit_bias={"1": 1.0})}),
    ("seed", {"sampling": Sampling(seed=1)}),
    ("frequency_penalty", {"sampling": Sampling(frequency_penalty=0.5)}),
    ("presence_penalty", {"sampling": Sampling(presence_penalty=0.5)}),
    ("temperature", {"sampling": Sampling(temperature=1.5)}),
    ("stop", {"sampling": Sampling(stop=("\n", "END"))}),
    ("messages", {"messages": (Message(role="user", content=(
        Part(type="input_audio", data={"input_audio": {}}), Part(type="text", text="Hi"))),)}),
    ("messages", {"messages": (Message(role="user", content=(
        Part(type="file", data={"file": {"file_id": "file-1"}}), Part(type="text", text="Hi"))),)}),
    ("tools", {"tools": (Tool(name="f", type="custom"), WEATHER)}),
    ("tools", {"tools": (Tool(name="file_search", type="hosted", format={}), WEATHER)}),
]  # fmt: skip


@pytest.mark.parametrize(("param", "fields"), LACKING)
def test_what_anthropic_cannot_do_is_refused(param: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        written(replace(request(), **fields))
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", param)


@pytest.mark.parametrize(("param", "fields"), LACKING)
def test_or_left_out_and_told(param: str, fields: dict[str, Any]) -> None:
    lost = Unsupported("m", drop=True)
    body = encode_request(replace(request(), **fields), model="claude-sonnet-5-5", lost=lost).body
    assert lost.names == [param]
    sent = msgspec.json.decode(body)
    assert set(sent) <= {"model", "messages", "max_tokens", "tools", "stop_sequences"}
    assert sent.get("stop_sequences", ["END"]) == ["END"]
    assert [block["type"] for block in sent["messages"][0]["content"] if isinstance(block, dict)] in ([], ["text"])


def test_a_hint_is_left_out_without_refusing_the_call() -> None:
    lost = Unsupported("m", drop=False)
    encode_request(request(Message(role="user", content="Hi", name="ada")), model="m", lost=lost)
    assert lost.names == ["name"]


def test_a_zero_penalty_asks_for_nothing() -> None:
    assert written(request(sampling=Sampling(frequency_penalty=0.0, presence_penalty=0.0)))


@pytest.mark.parametrize(
    ("choice", "parallel", "sent"),
    [
        (ToolChoice(), None, None),
        (ToolChoice(), False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="required"), None, {"type": "any"}),
        (ToolChoice(mode="function", name="get_weather"), None, {"type": "tool", "name": "get_weather"}),
        (ToolChoice(mode="none"), False, {"type": "none"}),
    ],
)
def test_the_choice_of_a_tool(choice: ToolChoice, parallel: bool | None, sent: Any) -> None:
    fields = written(request(tools=(WEATHER,), tool_choice=choice, parallel_tool_calls=parallel))
    assert fields.get("tool_choice") == sent


def test_tools_that_may_not_be_called_are_not_mentioned() -> None:
    other = replace(WEATHER, name="other")
    fields = written(request(tools=(WEATHER, other), tool_choice=ToolChoice(mode="required", allowed=("other",))))
    assert [tool["name"] for tool in fields["tools"]] == ["other"]
    assert fields["tool_choice"] == {"type": "any"}


def test_a_schema_is_asked_for_where_it_can_be_and_its_objects_are_closed() -> None:
    fields = written(request(response_format=ResponseFormat(type="json_schema", name="x", schema=SCHEMA)))
    schema = fields["output_config"]["format"]["schema"]
    assert (schema["additionalProperties"], schema["properties"]["inner"]["additionalProperties"]) == (False, False)
    assert "tools" not in fields


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("claude-3-5-sonnet-latest", ResponseFormat(type="json_schema", name="x", schema=SCHEMA)),
        ("claude-sonnet-5-5", ResponseFormat(type="json_object")),
    ],
)
def test_else_a_tool_stands_for_the_answer(model: str, shape: ResponseFormat) -> None:
    lost = Unsupported(model, drop=False)
    body, answer_tool = encode_request(request(response_format=shape), model=model, lost=lost)
    fields = msgspec.json.decode(body)
    assert answer_tool == ANSWER_TOOL
    assert fields["tool_choice"] == {"type": "tool", "name": ANSWER_TOOL}
    assert fields["tools"][0]["input_schema"]["type"] == "object"
    taken = replace(WEATHER, name=ANSWER_TOOL)
    body, answer_tool = encode_request(request(response_format=shape, tools=(taken,)), model=model, lost=lost)
    assert answer_tool != ANSWER_TOOL
    assert msgspec.json.decode(body)["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize(
    ("model", "fields", "sent"),
    [
        ("claude-sonnet-5-5", {"reasoning_effort": "minimal"},
         {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        ("claude-sonnet-5-5", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-5-5", {"reasoning_tokens": 0}, {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-5-5", {"reasoning_tokens": 2000}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        ("claude-sonnet-4-5", {"reasoning_effort": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        ("claude-sonnet-4-5", {"reasoning_effort": "high", "sampling": Sampling(max_tokens=3000)},
         {"thinking": {"type": "enabled", "budget_tokens": 2999}}),
        ("claude-sonnet-4-5", {"reasoning_effort": "high", "sampling": Sampling(max_tokens=100)}, {}),
        ("claude-3-5-haiku", {"reasoning_effort": "none"}, {}),
        ("claude-sonnet-5-5",
         {"reasoning_effort": "low", "tools": (WEATHER,), "tool_choice": ToolChoice(mode="required")},
         {"output_config": {"effort": "low"}}),
    ],
)  # fmt: skip
def test_thinking_is_asked_for_as_the_model_takes_it(model: str, fields: dict[str, Any], sent: dict[str, Any]) -> None:
    told = written(request(**fields), model=model)
    assert {name: told[name] for name in ("thinking", "output_config") if name in told} == sent


def test_a_model_that_cannot_think_says_so() -> None:
    with pytest.raises(InvalidRequest):
        written(request(reasoning_effort="low"), model="claude-3-5-haiku-20241022")


@pytest.mark.parametrize(
    ("model", "number"),
    [
        ("claude-3-7-sonnet-20250219", (3, 7)),
        ("claude-opus-4-20250514", (4, 0)),
        ("claude-opus-4-6", (4, 6)),
        ("claude-haiku-4-5@20251001", (4, 5)),
        ("us.anthropic.claude-sonnet-5-v1:0", (5, 0)),
        ("something-else", (99, 0)),
    ],
)
def test_a_models_generation_stands_in_its_name(model: str, number: tuple[int, int]) -> None:
    assert generation(model) == number
