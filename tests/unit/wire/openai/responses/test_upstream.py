from typing import Any

import msgspec
import pytest

from tests.support.responses_upstream import FAILURE, events_of, whole_response
from undercroft.errors import UpstreamError, UpstreamGarbled, UpstreamOverloaded, UpstreamRefused
from undercroft.llm.reply import _add
from undercroft.llm.types import ChatRequest, Source, ToolCallDelta, Usage
from undercroft.wire.openai.responses.upstream import decode_event, decode_whole, encode_request

USAGE = Usage(input=7, output=3, cache_read=2, reasoning=1)
FUNCTION = {"type": "function", "name": "f", "parameters": {}}


def event(kind: str, **fields: Any) -> bytes:
    return msgspec.json.encode({"type": kind, "sequence_number": 0, **fields})


def test_only_the_model_changes() -> None:
    body = b'{"input": "hi", "unknown": {"deep": [1e3, null]}, "stream": true, "model": "ours"}'
    request = ChatRequest(model="ours", messages=(), stream=True, source=Source("openai.responses", body))
    sent = encode_request(request, model="theirs")
    assert sent == b'{"input":"hi","unknown":{"deep": [1e3, null]},"stream":true,"model":"theirs"}'


def test_a_streams_events_add_up_to_the_whole_answer() -> None:
    for asked in ({}, {"tools": [FUNCTION], "tool_choice": "required"}, {"max_output_tokens": 2}):
        body = whole_response({"model": "relayed", "input": "x", **asked})
        one = decode_whole(msgspec.json.encode(body))
        many = _add([decode_event(msgspec.json.encode(each)) for each in events_of(body)])
        (mine,), (theirs,) = many.choices, one.choices
        assert (mine.text, mine.finish_reason) == (theirs.text, theirs.finish_reason)
        assert mine.tool_calls == theirs.tool_calls
        assert many.usage == one.usage == USAGE
        assert many.model == one.model == "provider-1"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("response.from_the_future", {"x": 1}),
        ("response.code_interpreter_call.interpreting", {"item_id": "ci_1", "output_index": 3}),
        ("response.output_text.annotation.added", {"annotation": {"type": "url_citation"}}),
        ("response.audio.delta", {"delta": {"not": "a text"}}),
    ],
)
def test_an_unknown_event_says_nothing_and_is_kept(kind: str, fields: dict[str, Any]) -> None:
    data = event(kind, **fields)
    chunk = decode_event(data)
    assert (chunk.choices, chunk.usage, chunk.source, chunk.dialect) == ((), None, data, "openai.responses")


def test_calls_are_told_apart_by_their_place() -> None:
    added = {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": ""}
    chunk = decode_event(event("response.output_item.added", output_index=2, item=added))
    assert chunk.choices[0].tool_calls == (ToolCallDelta(index=2, id="c", name="sql", type="custom"),)
    chunk = decode_event(event("response.custom_tool_call_input.delta", output_index=2, delta="SEL"))
    assert chunk.choices[0].tool_calls == (ToolCallDelta(index=2, arguments="SEL"),)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        ({"code": "server_error", "message": "fell over"}, UpstreamOverloaded, "upstream_overloaded"),
        ({"code": "rate_limit_exceeded", "message": "slow down"}, UpstreamOverloaded, "upstream_overloaded"),
        ({"code": "invalid_image", "message": "no image"}, UpstreamRefused, "invalid_image"),
        ({}, UpstreamOverloaded, "upstream_overloaded"),
    ],
)
def test_a_failure_is_raised_however_it_is_told(error: dict[str, str], kind: type[UpstreamError], code: str) -> None:
    failed = {"id": "resp_1", "status": "failed", "error": error}
    for read, data in (
        (decode_event, event("response.failed", response=failed)),
        (decode_event, event("error", **error)),
        (decode_event, event("error", error=error)),
        (decode_whole, msgspec.json.encode(failed)),
    ):
        with pytest.raises(kind) as raised:
            read(data)
        assert raised.value.code == code
        assert error.get("message", "") in str(raised.value)


@pytest.mark.parametrize(
    "data",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"type":"response.created"}',
        b'{"type":"response.completed","response":{"status":"completed"}}',
        b'{"type":"response.completed","response":5}',
        b'{"type":"response.output_text.delta","output_index":"x"}',
    ],
)
def test_what_is_no_event_is_garbled(data: bytes) -> None:
    with pytest.raises(UpstreamGarbled):
        decode_event(data)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"id":"resp_1"}', b'{"output":[]}', b'{"choices":[]}'])
def test_what_is_no_response_is_garbled(body: bytes) -> None:
    with pytest.raises(UpstreamGarbled):
        decode_whole(body)


def test_an_error_where_a_response_was_expected_is_raised() -> None:
    with pytest.raises(UpstreamOverloaded, match="fell over"):
        decode_whole(msgspec.json.encode({"error": FAILURE}))
