"""Answers as Anthropic's clients read them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.anthropic_upstream import RICH
from undercroft.errors import UpstreamUnreachable
from undercroft.llm.types import Choice, Chunk, ToolCallDelta, Usage
from undercroft.wire.anthropic import MessageStream, Reading, whole

Event = dict[str, Any]


def stream() -> MessageStream:
    return MessageStream(id="msg_1", request_id="req_1", model="m", estimate=lambda: 9)


def events(wire: bytes) -> list[Event]:
    """The events, each of which must be named after its type."""
    found = []
    for text in wire.decode().removesuffix("\n\n").split("\n\n"):
        name, data = text.split("\n")
        event: Event = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def written(*chunks: Chunk, usage: Usage | None = None) -> list[Event]:
    writer = stream()
    return events(b"".join([*(writer.frame(chunk) for chunk in chunks), writer.end(usage)]))


def said(**fields: Any) -> Chunk:
    return Chunk(choices=(Choice(**fields),), model="m")


def call(index: int, arguments: str = "", *, id: str | None = None, name: str | None = None) -> Chunk:
    return said(tool_calls=(ToolCallDelta(index=index, id=id, name=name, arguments=arguments),))


def test_a_stream_has_its_events_in_order() -> None:
    usage = Usage(input=10, output=3, cache_read=4, cache_write=1, reasoning=2)
    told = written(
        said(role="assistant"), said(reasoning="Hm."), said(signature="s"), said(text="Hel"), said(text="lo"),
        said(finish_reason="stop"), Chunk(usage=usage),
    )  # fmt: skip
    assert [event["type"] for event in told] == [
        "message_start", "ping",
        "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    message = told[0]["message"]
    assert (message["id"], message["content"], message["stop_reason"], message["usage"]["input_tokens"]) == (
        "msg_1", [], None, 9,
    )  # fmt: skip
    assert told[2]["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
    assert told[3]["delta"] == {"type": "thinking_delta", "thinking": "Hm."}
    assert told[4]["delta"] == {"type": "signature_delta", "signature": "s"}
    assert [event["index"] for event in told[2:10]] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert told[10] == {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {
            "input_tokens": 5, "cache_creation_input_tokens": 1, "cache_read_input_tokens": 4, "output_tokens": 3,
            "output_tokens_details": {"thinking_tokens": 2},
        },
    }  # fmt: skip


def test_usage_that_the_provider_did_not_tell_is_ours() -> None:
    assert written(said(text="x", finish_reason="length"), usage=Usage(input=2, output=1))[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
        "usage": {
            "input_tokens": 2, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1,
        },
    }  # fmt: skip


def test_calls_come_one_after_the_other_even_where_their_pieces_are_mixed() -> None:
    told = written(
        call(0, id="a", name="f"), call(1, id="b", name="g"), call(0, '{"x":'), call(1, '{"y"'), call(0, "1}"),
        call(1, ":2}"), said(finish_reason="tool_calls"),
    )  # fmt: skip
    blocks: dict[int, str] = {}
    is_open: int | None = None
    for event in told:
        if event["type"] == "content_block_start":
            assert is_open is None
            is_open = event["index"]
            blocks[is_open] = ""
        elif event["type"] == "content_block_delta":
            assert event["index"] == is_open
            blocks[event["index"]] += event["delta"]["partial_json"]
        elif event["type"] == "content_block_stop":
            assert event["index"] == is_open
            is_open = None
    assert blocks == {0: '{"x":1}', 1: '{"y":2}'}
    assert told[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_call_without_an_id_gets_one() -> None:
    (start,) = [event for event in written(call(0, "{}", name="f")) if event["type"] == "content_block_start"]
    assert start["content_block"] == {"type": "tool_use", "id": "toolu_1_0", "name": "f", "input": {}}


def test_the_providers_own_events_pass_untouched_up_to_the_end() -> None:
    reading, writer = Reading(), stream()
    chunks = [reading.read(msgspec.json.encode(event)) for event in RICH]
    wire = b"".join([writer.frame(chunk) for chunk in chunks if chunk is not None])
    assert events(wire + writer.end()) == RICH
    assert b"message_stop" not in wire, "it waits until the call is booked"


def test_an_event_of_several_lines_stays_one_event() -> None:
    chunk = Chunk(source=b'{"type":\n"ping"}', dialect="anthropic.messages")
    assert stream().frame(chunk) == b'event: ping\ndata: {"type":\ndata: "ping"}\n\n'


def test_other_formats_sources_are_not_passed_on() -> None:
    chunk = Chunk(choices=(Choice(text="x"),), source=b'{"choices":[]}')
    assert b"choices" not in stream().frame(chunk)


def test_a_whole_answer_can_be_streamed() -> None:
    chunk = Chunk(
        choices=(Choice(role="assistant", text="Hello", finish_reason="stop"),), usage=Usage(output=1), whole=True,
        source=b"{}", dialect="anthropic.messages",
    )  # fmt: skip
    assert [event["type"] for event in written(chunk)][-2:] == ["message_delta", "message_stop"]


def test_an_empty_answer_still_is_a_message() -> None:
    assert [event["type"] for event in written()] == ["message_start", "ping", "message_delta", "message_stop"]


def test_a_broken_stream_says_so_and_has_no_end() -> None:
    (event,) = events(stream().error(UpstreamUnreachable("It broke.")))
    assert event == {
        "type": "error", "error": {"type": "api_error", "message": "It broke."}, "request_id": "req_1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        (Choice(finish_reason="stop"), "end_turn"),
        (Choice(finish_reason="stop", stop_sequence="END"), "stop_sequence"),
        (Choice(finish_reason="length"), "max_tokens"),
        (Choice(finish_reason="tool_calls"), "tool_use"),
        (Choice(finish_reason="content_filter"), "refusal"),
        (Choice(finish_reason="something"), "end_turn"),
    ],
)
def test_why_it_ended(choice: Choice, reason: str) -> None:
    body = msgspec.json.decode(whole(Chunk(choices=(choice,)), id="msg_1", model="m"))
    assert (body["stop_reason"], body["stop_sequence"]) == (reason, choice.stop_sequence)
    assert written(Chunk(choices=(choice,)))[-2]["delta"]["stop_reason"] == reason


def test_a_whole_answer_has_every_block() -> None:
    choice = Choice(
        text="Yes.", reasoning="Hm.", signature="s", refusal=" No.", finish_reason="tool_calls",
        tool_calls=(ToolCallDelta(index=0, id="a", name="f", arguments='{"x":1}'),
                    ToolCallDelta(index=1, id="b", name="g", arguments="oops")),
    )  # fmt: skip
    body = msgspec.json.decode(whole(Chunk(choices=(choice,), usage=Usage(input=2, output=1)), id="msg_1", model="m"))
    assert body["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "text", "text": "Yes. No."},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {"arguments": "oops"}},
    ]
    assert (body["id"], body["type"], body["role"], body["model"]) == ("msg_1", "message", "assistant", "m")


def test_a_whole_answer_of_the_same_format_passes_untouched() -> None:
    chunk = Chunk(source=b'{"x":1}', dialect="anthropic.messages", whole=True)
    assert whole(chunk, id="msg_1", model="m") == b'{"x":1}'


pieces = st.lists(
    st.one_of(
        st.text(min_size=1).map(lambda text: said(text=text)),
        st.text(min_size=1).map(lambda text: said(reasoning=text)),
        st.tuples(st.integers(0, 3), st.text(max_size=4)).map(lambda piece: call(piece[0], piece[1], name="f")),
    ),
    max_size=12,
)


@given(pieces)
def test_nothing_is_lost_whatever_the_order(chunks: list[Chunk]) -> None:
    told = written(*chunks, said(finish_reason="stop"))
    deltas = [event["delta"] for event in told if event["type"] == "content_block_delta"]
    assert "".join(delta.get("text", "") for delta in deltas) == "".join(chunk.text() for chunk in chunks)
    thoughts = "".join(choice.reasoning for chunk in chunks for choice in chunk.choices)
    assert "".join(delta.get("thinking", "") for delta in deltas) == thoughts
    arguments = [piece for chunk in chunks for choice in chunk.choices for piece in choice.tool_calls]
    given_text = "".join(sorted("".join(piece.arguments for piece in arguments)))
    assert "".join(sorted("".join(delta.get("partial_json", "") for delta in deltas))) == given_text
    starts = [event["index"] for event in told if event["type"] == "content_block_start"]
    stops = [event["index"] for event in told if event["type"] == "content_block_stop"]
    assert starts == stops == list(range(len(starts)))
