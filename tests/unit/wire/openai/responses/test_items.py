from typing import Any

import pytest

from undercroft.errors import InvalidRequest
from undercroft.llm.types import Message, Part, ToolCall
from undercroft.wire.openai.responses.items import FOREIGN, SIGNATURE, listed, messages_of

CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"a":1}'}


def only(item: dict[str, Any]) -> Message:
    (message,) = messages_of([item])
    return message


@pytest.mark.parametrize("role", ["user", "assistant", "system", "developer"])
def test_a_message_of_text_is_its_text(role: str) -> None:
    assert only({"role": role, "content": "hi"}) == Message(role=role, content="hi")
    assert only({"type": "message", "role": role, "content": [{"type": "input_text", "text": "hi"}]}).content == "hi"


def test_parts_have_chats_form() -> None:
    content = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "high"},
        {"type": "input_image", "image_url": "https://x/z.png"},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        {"type": "input_file", "file_data": "AA", "filename": "a.pdf"},
        {"type": "refusal", "refusal": "no"},
    ]
    message = only({"role": "user", "content": content})
    assert message.content == (
        Part(type="text", text="look"),
        Part(type="image_url", data={"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "high"}}),
        Part(type="image_url", data={"type": "image_url", "image_url": {"url": "https://x/z.png"}}),
        Part(type="input_audio", data={"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}),
        Part(type="file", data={"type": "file", "file": {"file_data": "AA", "filename": "a.pdf"}}),
        Part(type="refusal", text="no"),
    )


def test_words_and_calls_of_one_breath_are_one_turn() -> None:
    other = {**CALL, "call_id": "call_2", "name": "g"}
    said = {"role": "assistant", "content": "Let me see."}
    results = [{"type": "function_call_output", "call_id": f"call_{n}", "output": "ok"} for n in (1, 2)]
    assert messages_of([{"role": "user", "content": "hi"}, said, CALL, other, *results]) == (
        Message(role="user", content="hi"),
        Message(
            role="assistant",
            content="Let me see.",
            tool_calls=(
                ToolCall(id="call_1", name="f", arguments='{"a":1}'),
                ToolCall(id="call_2", name="g", arguments='{"a":1}'),
            ),
        ),
        Message(role="tool", tool_call_id="call_1", content="ok"),
        Message(role="tool", tool_call_id="call_2", content="ok"),
    )


def test_two_answers_stay_two_turns() -> None:
    said = [{"role": "assistant", "content": text} for text in ("one", "two")]
    assert [message.content for message in messages_of(said)] == ["one", "two"]


def test_a_custom_tools_call_and_output() -> None:
    call = {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "SELECT 1"}
    output = {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "1"}]}
    assert messages_of([call, output]) == (
        Message(role="assistant", tool_calls=(ToolCall(id="c", name="sql", arguments="SELECT 1", type="custom"),)),
        Message(role="tool", tool_call_id="c", content="1"),
    )


def test_reasoning_comes_back_only_with_its_proof() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "so"}]}
    assert messages_of([thought]) == ()
    assert messages_of([{**thought, "encrypted_content": "gAAAAA of OpenAI's own"}]) == ()
    (message,) = messages_of([{**thought, "encrypted_content": SIGNATURE + "proof"}, CALL])
    assert message.content == (Part(type="thinking", text="so", data={"signature": "proof"}),)
    assert message.tool_calls[0].name == "f"


@pytest.mark.parametrize(
    "item",
    [
        {"type": "web_search_call", "id": "ws_1"},
        {"type": "item_reference", "id": "msg_1"},
        {"type": "from_the_future"},
    ],
)
def test_what_only_the_format_knows_is_marked(item: dict[str, Any]) -> None:
    part = Part(type=FOREIGN, data={"kind": item["type"], "where": "input[0]"})
    assert only(item) == Message(role="assistant", content=(part,))


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({}, "input[0].type"),
        ({"type": 5}, "input[0].type"),
        ({"role": "user"}, "input[0].content"),
        ({"role": "user", "content": 5}, "input[0].content"),
        ({"role": "user", "content": ["x"]}, "input[0].content[0]"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input[0].content[0].text"),
        ({"role": "king", "content": "x"}, "input[0].role"),
        ({"type": "function_call", "call_id": "c", "name": "f"}, "input[0].arguments"),
        ({"type": "function_call_output", "output": "x"}, "input[0].call_id"),
    ],
)
def test_a_wrong_item_is_named(item: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as wrong:
        messages_of([item])
    assert wrong.value.param == param


def test_listed_items_have_ids_that_stay() -> None:
    items: list[dict[str, Any]] = [{"role": "user", "content": "hi"}, CALL, {"role": "assistant", "content": "yes"}]
    first = listed(items, "abc")
    assert first == listed(items, "abc")
    assert [item["id"] for item in first] == ["msg_abc800", "fc_1", "msg_abc802"]
    assert first[0]["content"] == [{"type": "input_text", "text": "hi"}]
    assert first[2]["content"][0]["type"] == "output_text"
    assert items[0] == {"role": "user", "content": "hi"}, "what was given stays as it is"
