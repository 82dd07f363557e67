"""Anthropic's requests become conversations, and say in words what is wrong with them."""

from typing import Any

import msgspec
import pytest

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, Message, Part, Sampling, ToolCall, ToolChoice
from undercroft.wire.anthropic import decode, decode_count

HI = [{"role": "user", "content": "Hi"}]


def read(messages: Any = HI, **fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 5, "messages": messages, **fields}
    return decode(msgspec.json.encode(body), headers=(("anthropic-version", "2026-10-21"),))


def of_user(*blocks: dict[str, Any]) -> ChatRequest:
    return read([{"role": "user", "content": list(blocks)}])


def test_the_plain_fields_are_read() -> None:
    request = read(
        stream=True, temperature=0.5, top_p=0.9, top_k=3, stop_sequences=["a", ""], metadata={"user_id": "u-1"}
    )
    assert request.sampling == Sampling(temperature=0.5, top_p=0.9, top_k=3, stop=("a",), max_tokens=5)
    assert (request.model, request.stream, request.end_user) == ("m", True, "u-1")
    assert request.messages == (Message(role="user", content="Hi"),)


def test_the_bytes_and_the_headers_ride_along() -> None:
    request = read(some_new_field={"a": 1})
    assert request.source is not None
    assert request.source.dialect == "anthropic.messages"
    assert msgspec.json.decode(request.source.body)["some_new_field"] == {"a": 1}
    assert request.source.headers == (("anthropic-version", "2026-10-21"),)


@pytest.mark.parametrize(
    ("system", "content"),
    [
        ("Be brief.", "Be brief."),
        (
            [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            (Part(type="text", text="Be brief.", cache_control={"type": "ephemeral"}),),
        ),
    ],
)
def test_the_system_prompt_is_the_first_message(system: Any, content: Any) -> None:
    assert read(system=system).messages[0] == Message(role="system", content=content)


def test_a_system_message_may_stand_in_the_middle() -> None:
    request = read([*HI, {"role": "system", "content": [{"type": "text", "text": "Now in French."}]}])
    assert [message.role for message in request.messages] == ["user", "system"]


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ({"type": "base64", "media_type": "image/png", "data": "AAAA"}, "data:image/png;base64,AAAA"),
        ({"type": "url", "url": "https://example.com/a.png"}, "https://example.com/a.png"),
    ],
)
def test_an_image_has_the_form_all_providers_share(source: dict[str, str], url: str) -> None:
    request = of_user({"type": "image", "source": source})
    assert request.messages[0].content == (
        Part(type="image_url", data={"type": "image_url", "image_url": {"url": url}}),
    )


@pytest.mark.parametrize(
    ("document", "part"),
    [
        (
            {"source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}, "title": "T"},
            {"filename": "T", "file_data": "data:application/pdf;base64,AAAA"},
        ),
        (
            {"source": {"type": "url", "url": "https://example.com/a.pdf"}},
            {"filename": "document.pdf", "file_url": "https://example.com/a.pdf"},
        ),
    ],
)
def test_a_document_becomes_a_file(document: dict[str, Any], part: dict[str, str]) -> None:
    request = of_user({"type": "document", **document})
    assert request.messages[0].content == (Part(type="file", data={"type": "file", "file": part}),)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "document", "title": "T", "source": {"type": "content", "content": "words"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "T\n\nwords"}]}},
    ],
)
def test_a_document_of_text_is_text(block: dict[str, Any]) -> None:
    assert of_user(block).messages[0].text() == "T\n\nwords"


def test_a_search_result_is_text_with_its_source() -> None:
    block = {"type": "search_result", "title": "T", "source": "S", "content": [{"type": "text", "text": "words"}]}
    assert of_user(block).messages[0].text() == "T (S)\n\nwords"


def test_thinking_keeps_its_proof() -> None:
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Yes."},
    ]
    request = read([*HI, {"role": "assistant", "content": blocks}])
    assert request.messages[1].content == (
        Part(type="thinking", text="Hm.", data={"signature": "sig"}),
        Part(type="redacted_thinking", data={"data": "xyz"}),
        Part(type="text", text="Yes."),
    )


def test_a_block_nobody_here_knows_is_kept_as_it_came() -> None:
    block = {"type": "from_the_future", "x": [1], "cache_control": {"type": "ephemeral"}}
    assert of_user(block).messages[0].content == (
        Part(type="from_the_future", data=block, cache_control={"type": "ephemeral"}),
    )


def test_calls_and_their_results_are_messages_of_their_own() -> None:
    turns = [
        *HI,
        {"role": "assistant", "content": [
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "broken", "is_error": True},
            {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "fine"}]},
            {"type": "tool_result", "tool_use_id": "t3"},
            {"type": "text", "text": "Well?"},
        ]},
    ]  # fmt: skip
    _, asked, *results = read(turns).messages
    assert asked.tool_calls == (ToolCall(id="t1", name="f", arguments='{"a":1}'),)
    assert asked.text() == "Let me see."
    assert results == [
        Message(role="tool", content="broken", tool_call_id="t1", is_error=True),
        Message(role="tool", content=(Part(type="text", text="fine"),), tool_call_id="t2"),
        Message(role="tool", content="", tool_call_id="t3"),
        Message(role="user", content=(Part(type="text", text="Well?"),)),
    ]


def test_tools_are_the_callers_or_the_providers_own() -> None:
    own = {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True}
    hosted = {"type": "web_search_20260318", "name": "web_search", "max_uses": 2}
    first, second = read(tools=[own, hosted]).tools
    assert (first.name, first.parameters, first.strict, first.type) == ("f", {"type": "object"}, True, "function")
    assert (second.name, second.type, second.format) == ("web_search", "hosted", hosted)


@pytest.mark.parametrize(
    ("choice", "read_as", "parallel"),
    [
        ({"type": "auto"}, ToolChoice(), None),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(), False),
        ({"type": "any"}, ToolChoice(mode="required"), None),
        ({"type": "tool", "name": "f"}, ToolChoice(mode="function", name="f"), None),
        ({"type": "none"}, ToolChoice(mode="none"), None),
    ],
)
def test_the_choice_of_a_tool(choice: dict[str, Any], read_as: ToolChoice, parallel: bool | None) -> None:
    request = read(tools=[{"name": "f", "input_schema": {"type": "object"}}], tool_choice=choice)
    assert (request.tool_choice, request.parallel_tool_calls) == (read_as, parallel)


@pytest.mark.parametrize(
    ("thinking", "tokens"),
    [
        ({"type": "enabled", "budget_tokens": 2000}, 2000),
        ({"type": "disabled"}, 0),
        ({"type": "adaptive"}, None),
        ({"type": "from_the_future"}, None),
    ],
)
def test_how_much_to_think(thinking: dict[str, Any], tokens: int | None) -> None:
    assert read(thinking=thinking).reasoning_tokens == tokens


@pytest.mark.parametrize("place", ["output_config", "output_format"])
def test_a_schema_for_the_answer_is_read_in_both_its_places(place: str) -> None:
    shape = {"type": "json_schema", "schema": {"type": "object"}}
    request = read(**{place: {"format": shape, "effort": "low"} if place == "output_config" else shape})
    assert (request.response_format.type, request.response_format.schema) == ("json_schema", {"type": "object"})
    assert request.reasoning_effort == ("low" if place == "output_config" else None)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f"}]}]},
            "messages[0].content[0].input",
        ),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"temperature": 1.5}, "temperature"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"name": "f", "input_schema": []}]}, "tools[0]"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "sometimes"}}, "tool_choice.type"),
        (
            {"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "g"}},
            "tool_choice.name",
        ),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(**fields)
    assert caught.value.param == param


def test_a_limit_must_be_given() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(msgspec.json.encode({"model": "m", "messages": HI}))
    assert (caught.value.code, caught.value.param) == ("missing_required_parameter", "max_tokens")


def test_counting_needs_no_limit() -> None:
    request = decode_count(b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"system":"Be brief."}')
    assert [message.role for message in request.messages] == ["system", "user"]
