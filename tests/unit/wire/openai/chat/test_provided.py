"""Whole answers that clients would trip over are mended; pieces are in tests/unit/wire/odd_streams."""

from typing import Any

import msgspec
import pytest

from undercroft.wire.openai.chat import decode_whole


def mended(choice: dict[str, Any], **more: Any) -> tuple[dict[str, Any], bool]:
    """The answer's only choice as clients get it, and whether it was touched at all."""
    body = msgspec.json.encode({"id": "chatcmpl-7", "choices": [choice], **more})
    chunk = decode_whole(body)
    assert chunk.source is not None
    (written,) = msgspec.json.decode(chunk.source)["choices"]
    return written, chunk.source is not body


def called(**call: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {"index": 0, "message": message, "finish_reason": "tool_calls"}


SOUND: list[dict[str, Any]] = [
    {"index": 0, "message": {"role": "assistant", "content": "Hi", "mood": "fine"}, "finish_reason": "stop"},
    called(id="a", type="function", function={"name": "f", "arguments": "{}"}),
    called(id="a", type="custom", custom={"name": "f", "input": "x"}),
    {
        "index": 0,
        "message": {"content": None, "function_call": {"name": "f", "arguments": ""}},
        "finish_reason": "stop",
    },
]


@pytest.mark.parametrize("choice", SOUND)
def test_what_is_sound_keeps_its_bytes(choice: dict[str, Any]) -> None:
    assert mended(choice) == (choice, False)


def test_a_call_without_id_or_type_gets_both() -> None:
    choice, touched = mended(called(function={"name": "f", "arguments": "{}"}, kept=1))
    assert touched
    assert choice["message"]["tool_calls"] == [
        {"function": {"name": "f", "arguments": "{}"}, "kept": 1, "id": "call_7_0_0", "type": "function"}
    ]


def test_arguments_are_text() -> None:
    choice, _ = mended(called(id="a", type="function", function={"name": "f", "arguments": {"a": 1}}))
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":1}'
    choice, _ = mended(called(id="a", type="function", function={"name": "f", "arguments": None}))
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == ""
    legacy = {"index": 0, "message": {"function_call": {"name": "f", "arguments": {"a": 1}}}, "finish_reason": "stop"}
    assert mended(legacy)[0]["message"]["function_call"]["arguments"] == '{"a":1}'


def test_content_is_text_and_thoughts_are_apart() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "Hi"},
    ]
    choice, _ = mended({"index": 0, "message": {"role": "assistant", "content": parts}, "finish_reason": "stop"})
    assert (choice["message"]["content"], choice["message"]["reasoning_content"]) == ("Hi", "Hm.")


def test_index_message_and_reason_stand_where_clients_look() -> None:
    choice, _ = mended({"delta": {"role": "assistant", "content": "Hi"}, "finish_reason": ""})
    assert choice == {"message": {"role": "assistant", "content": "Hi"}, "finish_reason": None, "index": 0}


def test_fields_beside_the_choices_survive() -> None:
    body = msgspec.json.encode({"id": "x", "choices": [called(function={"name": "f", "arguments": "{}"})], "mood": [1]})
    source = decode_whole(body).source
    assert source is not None
    assert msgspec.json.decode(source)["mood"] == [1]
