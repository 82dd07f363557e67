"""What a provider of Anthropic's format answers, however its bytes were cut."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.anthropic_upstream import (
    PING,
    REDACTED,
    REFUSAL,
    RICH,
    SIGNATURE,
    STOP,
    TEXT,
    TWO_CALLS,
    added,
    begun,
    closed,
    ended,
    error,
    opened,
)
from undercroft.errors import UpstreamError, UpstreamGarbled, UpstreamOverloaded
from undercroft.llm.reply import joined
from undercroft.llm.types import Chunk, ToolCallDelta, Usage
from undercroft.wire.anthropic import Reading, decode_whole
from undercroft.wire.sse import Events

THOUGHT: list[dict[str, Any]] = [
    begun(cache_creation_input_tokens=3, cache_read_input_tokens=5, cache_creation={"ephemeral_1h_input_tokens": 3}),
    PING,
    opened(0, {"type": "thinking", "thinking": "", "signature": ""}),
    added(0, "thinking_delta", thinking="Let me"), added(0, "thinking_delta", thinking=" count."),
    added(0, "signature_delta", signature=SIGNATURE), closed(0),
    opened(1, TEXT), added(1, "text_delta", text="zwölf "), added(1, "text_delta", text="🙂"), closed(1),
    ended("stop_sequence", 11, stop_sequence="END"), STOP,
]  # fmt: skip


def read(events: list[dict[str, Any]], **options: Any) -> list[Chunk]:
    reading = Reading(**options)
    chunks = [reading.read(msgspec.json.encode(event)) for event in events]
    assert chunks[-1] is None
    return [chunk for chunk in chunks if chunk is not None]


async def added_up(chunks: list[Chunk]) -> Chunk:
    async def each() -> Any:
        for chunk in chunks:
            yield chunk

    return await joined(each())


def whole(chunks: list[Chunk]) -> Chunk:
    coroutine = added_up(chunks)
    try:
        coroutine.send(None)
    except StopIteration as done:
        chunk: Chunk = done.value
        return chunk
    raise AssertionError("nothing here waits")


def test_a_stream_adds_up() -> None:
    answer = whole(read(THOUGHT))
    (choice,) = answer.choices
    assert (choice.role, choice.text) == ("assistant", "zwölf 🙂")
    assert (choice.reasoning, choice.signature) == ("Let me count.", SIGNATURE)
    assert (choice.finish_reason, choice.stop_sequence) == ("stop", "END")
    assert answer.model == "claude-fake-1"
    assert answer.usage == Usage(input=15, output=11, cache_read=5, cache_write=3, cache_write_long=3)


def test_every_event_keeps_its_bytes() -> None:
    chunks = read(THOUGHT)
    assert [msgspec.json.decode(chunk.source or b"") for chunk in chunks] == THOUGHT[:-1]
    assert {chunk.dialect for chunk in chunks} == {"anthropic.messages"}


def test_what_is_written_is_unknown_until_it_is_told() -> None:
    first = read(THOUGHT)[0]
    assert first.usage == Usage(input=15, output=0, cache_read=5, cache_write=3, cache_write_long=3)


def test_the_answer_begins_with_its_first_block() -> None:
    reading = Reading()
    states = []
    for event in THOUGHT[:3]:
        reading.read(msgspec.json.encode(event))
        states.append(reading.has_begun)
    assert states == [False, False, True]


WIRE = b"".join(
    b"event: %b\r\ndata: %b\r\n\r\n" % (event["type"].encode(), msgspec.json.encode(event)) for event in THOUGHT
)


@given(st.lists(st.integers(0, len(WIRE)), max_size=8), st.booleans())
def test_any_split_of_the_bytes_reads_the_same(cuts: list[int], has_plain_ends: bool) -> None:
    wire = WIRE.replace(b"\r\n", b"\n") if has_plain_ends else WIRE
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    events, reading = Events(), Reading()
    chunks = [
        reading.read(event) for start, stop in itertools.pairwise(places) for event in events.feed(wire[start:stop])
    ]
    assert chunks.pop() is None
    assert [chunk for chunk in chunks if chunk] == read(THOUGHT)


def test_calls_are_numbered_among_themselves() -> None:
    (choice,) = whole(read(TWO_CALLS)).choices
    assert choice.tool_calls == (
        ToolCallDelta(index=0, id="toolu_1", name="get_weather", arguments='{"city":"Paris"}'),
        ToolCallDelta(index=1, id="toolu_2", name="get_time", arguments="{}"),
    )
    assert choice.finish_reason == "tool_calls"


def test_blocks_that_only_anthropic_has_are_passed_on_and_not_read() -> None:
    (choice,) = whole(read(RICH)).choices
    assert (choice.text, choice.tool_calls, choice.finish_reason) == ("Grass is green", (), "stop")


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("pause_turn", "stop"), ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"), ("tool_use", "tool_calls"), ("refusal", "content_filter"),
        ("from_the_future", "stop"),
    ],
)  # fmt: skip
def test_why_an_answer_ended(told: str, reason: str) -> None:
    events = [begun(), opened(0, TEXT), closed(0), ended(told, 1), STOP]
    assert whole(read(events)).choices[0].finish_reason == reason
    message = {**begun()["message"], "content": [], "stop_reason": told}
    assert decode_whole(msgspec.json.encode(message)).choices[0].finish_reason == reason


def test_the_call_of_the_answers_tool_is_the_answer() -> None:
    events = [
        begun(), opened(0, {"type": "tool_use", "id": "t", "name": "json_answer", "input": {}}),
        added(0, "input_json_delta", partial_json='{"a":'), added(0, "input_json_delta", partial_json="1}"), closed(0),
        ended("tool_use", 4), STOP,
    ]  # fmt: skip
    (choice,) = whole(read(events, answer_tool="json_answer")).choices
    assert (choice.text, choice.tool_calls, choice.finish_reason) == ('{"a":1}', (), "stop")
    block = {"type": "tool_use", "id": "t", "name": "json_answer", "input": {"a": 1}}
    body = msgspec.json.encode({**begun()["message"], "content": [block], "stop_reason": "tool_use"})
    (choice,) = decode_whole(body, answer_tool="json_answer").choices
    assert (choice.text, choice.tool_calls, choice.finish_reason) == ('{"a":1}', (), "stop")


def test_a_whole_answer_is_read() -> None:
    content = [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "redacted_thinking", "data": REDACTED},
        {"type": "text", "text": "Yes."},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
    ]
    usage = {
        "input_tokens": 1, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 3, "output_tokens": 4,
        "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
        "output_tokens_details": {"thinking_tokens": 2},
    }  # fmt: skip
    body = msgspec.json.encode({**begun()["message"], "content": content, "stop_reason": "tool_use", "usage": usage})
    answer = decode_whole(body)
    (choice,) = answer.choices
    assert (choice.text, choice.reasoning, choice.signature) == ("Yes.", "Hm.", "s")
    assert choice.tool_calls == (ToolCallDelta(index=0, id="t", name="f", arguments='{"a":1}'),)
    assert answer.usage == Usage(input=6, output=4, cache_read=2, cache_write=3, reasoning=2, cache_write_long=2)
    assert (answer.source, answer.whole, answer.dialect) == (body, True, "anthropic.messages")


@pytest.mark.parametrize(
    "events",
    [
        [begun(), STOP],
        [begun(), opened(0, TEXT), added(0, "text_delta", text="x"), closed(0), STOP],
    ],
)
def test_an_answer_that_never_said_why_it_ended_is_cut(events: list[dict[str, Any]]) -> None:
    with pytest.raises(UpstreamGarbled):
        read(events)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (msgspec.json.encode(error("overloaded_error", "Overloaded")), UpstreamOverloaded),
        (b'{"error":{"message":"no"}}', UpstreamError),
        (b"<html>", UpstreamGarbled),
        (b"{", UpstreamGarbled),
        (b"\xff", UpstreamGarbled),
        (b"[1]", UpstreamGarbled),
        (b"{}", UpstreamGarbled),
        (b'{"type":"content_block_delta","delta":{"text":7}}', UpstreamGarbled),
    ],
)
def test_what_is_no_event_is_an_error(data: bytes, kind: type[UpstreamError]) -> None:
    with pytest.raises(kind):
        Reading().read(data)
    with pytest.raises(UpstreamError):
        decode_whole(data)


def test_a_refusal_is_a_content_filters() -> None:
    assert whole(read(REFUSAL)).choices[0].finish_reason == "content_filter"
