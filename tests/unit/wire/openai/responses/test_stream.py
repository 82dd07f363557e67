"""The events of a response that we write: which, in which order, with what in them."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response as SdkResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from undercroft.errors import InvalidRequest, RateLimited, UpstreamGarbled, UpstreamOverloaded
from undercroft.llm.types import Choice, Chunk, ToolCallDelta, Usage
from undercroft.wire.openai.responses.answer import Response, begun, ended
from undercroft.wire.openai.responses.request import decode
from undercroft.wire.openai.responses.stream import ANNOUNCED, ResponseStream, announced, last_event, whole

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
USAGE = Usage(input=7, output=3, cache_read=2, reasoning=1)
STOP = Choice(finish_reason="stop")


def opening(**fields: Any) -> Response:
    body = decode(msgspec.json.encode({"input": "hi", **fields})).body
    return begun(body, id="resp_1", created=5, model="chat")


def events_in(stream: bytes) -> list[dict[str, Any]]:
    """Each event, after what holds of all: its two names agree, its number is the next, the SDK knows it."""
    *frames, rest = stream.split(b"\n\n")
    assert rest == b""
    events = []
    for frame in frames:
        name, data = frame.split(b"\n")
        event = msgspec.json.decode(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        EVENTS.validate_python(event)
        events.append(event)
    return events


def played(*chunks: Chunk, **fields: Any) -> list[dict[str, Any]]:
    writer = ResponseStream(opening(**fields), suffix="1", changes={})
    said = b"".join(writer.frame(chunk) for chunk in chunks)
    events = events_in(said + writer.end(writer.finish(None, completed=9)))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    SdkResponse.model_validate(events[-1]["response"])
    return events


def told(*choices: Choice, usage: Usage | None = None) -> Chunk:
    return Chunk(choices=choices, usage=usage)


def names(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_text() -> None:
    events = played(
        told(Choice(role="assistant")), told(Choice(text="Hel")), told(Choice(text="lo")), told(STOP, usage=USAGE)
    )
    assert names(events) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    item: dict[str, Any] = {
        "type": "message",
        "id": "msg_1000",
        "status": "in_progress",
        "role": "assistant",
        "content": [],
        "phase": None,
    }
    at = {"item_id": "msg_1000", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
    assert events[2] == {"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item": item}
    assert events[4] == {
        "type": "response.output_text.delta", "sequence_number": 4, **at, "delta": "Hel", "logprobs": [],
    }  # fmt: skip
    assert events[6] == {
        "type": "response.output_text.done", "sequence_number": 6, **at, "text": "Hello", "logprobs": [],
    }  # fmt: skip
    assert events[7]["part"] == part
    done = {**item, "status": "completed", "content": [part]}
    assert events[8]["item"] == done
    final = events[9]["response"]
    assert final["output"] == [done]
    assert (final["status"], final["created_at"], final["completed_at"]) == ("completed", 5, 9)
    assert final["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 10,
    }
    assert events[0]["response"]["status"] == "in_progress"
    assert events[0]["response"]["output"] == []


def test_reasoning_words_and_two_calls() -> None:
    events = played(
        told(Choice(reasoning="Let me ")),
        told(Choice(reasoning="think", signature="proof")),
        told(Choice(text="I look.")),
        told(Choice(tool_calls=(ToolCallDelta(index=0, id="call_a", name="f"),))),
        told(Choice(tool_calls=(ToolCallDelta(index=0, arguments='{"a"'),))),
        told(Choice(tool_calls=(ToolCallDelta(index=1, id="call_b", name="g", arguments="x", type="custom"),))),
        told(Choice(tool_calls=(ToolCallDelta(index=0, arguments=":1}"),))),
        told(Choice(finish_reason="tool_calls")),
    )
    assert names(events) == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta",
        "reasoning_text.done", "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta",
        "output_item.added", "custom_tool_call_input.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done",
        "custom_tool_call_input.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    thought, message, function, custom = events[-1]["response"]["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "Let me think"}]
    assert thought["encrypted_content"] == "undercroft-signature:proof"
    assert message["content"][0]["text"] == "I look."
    assert (function["call_id"], function["name"], function["arguments"]) == ("call_a", "f", '{"a":1}')
    assert (custom["type"], custom["call_id"], custom["input"]) == ("custom_tool_call", "call_b", "x")
    done = next(event for event in events if event["type"] == "response.function_call_arguments.done")
    assert (done["name"], done["arguments"], done["output_index"]) == ("f", '{"a":1}', 2)
    assert [event["output_index"] for event in events if event["type"].endswith("item.done")] == [0, 1, 2, 3]


def test_a_refusal_is_a_part_of_its_own() -> None:
    events = played(told(Choice(text="Well, ")), told(Choice(refusal="no.")), told(STOP))
    assert names(events)[4:-1] == [
        "output_text.delta", "output_text.done", "content_part.done",
        "content_part.added", "refusal.delta", "refusal.done", "content_part.done", "output_item.done",
    ]  # fmt: skip
    (message,) = events[-1]["response"]["output"]
    assert [part["type"] for part in message["content"]] == ["output_text", "refusal"]
    assert [event["content_index"] for event in events if "content_index" in event] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_log_probabilities_change_their_shape() -> None:
    entry = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}
    chat = {"content": [{**entry, "top_logprobs": [entry]}], "refusal": None}
    events = played(told(Choice(text="Hi", logprobs=chat)), told(STOP))
    delta = next(event for event in events if event["type"].endswith("text.delta"))
    short = {"token": "Hi", "logprob": -0.1}
    assert delta["logprobs"] == [{**short, "top_logprobs": [short]}]
    (message,) = events[-1]["response"]["output"]
    assert message["content"][0]["logprobs"] == chat["content"]


@pytest.mark.parametrize(("reason", "told_as"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_cut_short_is_incomplete(reason: str, told_as: str) -> None:
    events = played(told(Choice(text="Hel")), told(Choice(finish_reason=reason)))
    assert names(events)[-1] == "incomplete"
    final = events[-1]["response"]
    assert (final["status"], final["incomplete_details"]) == ("incomplete", {"reason": told_as})
    assert final["output"][0]["status"] == "incomplete"


def test_an_answer_without_a_word_is_an_empty_message() -> None:
    events = played(told(STOP))
    (message,) = events[-1]["response"]["output"]
    assert message["content"][0]["text"] == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UpstreamGarbled("cut"), "server_error"),
        (UpstreamOverloaded("slow down", upstream_status=429), "rate_limit_exceeded"),
        (UpstreamOverloaded("down", upstream_status=503), "server_error"),
        (RateLimited("too many"), "rate_limit_exceeded"),
        (InvalidRequest("what?"), "invalid_prompt"),
        (InvalidRequest("bad image", code="invalid_image"), "invalid_image"),
        (RuntimeError("a secret of ours"), "server_error"),
    ],
)
def test_a_broken_stream_ends_with_the_whole_object(error: Exception, code: str) -> None:
    writer = ResponseStream(opening(), suffix="1", changes={})
    said = writer.frame(told(Choice(text="Hel"))) + writer.error(error)
    events = events_in(said)
    assert names(events)[-1] == "failed"
    assert events[-1]["sequence_number"] == len(events) - 1
    final = events[-1]["response"]
    assert (final["status"], final["error"]["code"]) == ("failed", code)
    assert "a secret of ours" not in final["error"]["message"]
    assert final["output"][0]["content"][0]["text"] == "Hel"
    assert final["output"][0]["status"] == "incomplete"


def test_a_stream_that_breaks_before_its_first_event_is_opened_first() -> None:
    writer = ResponseStream(opening(), suffix="1", changes={})
    assert names(events_in(writer.error(UpstreamGarbled("cut")))) == ["created", "in_progress", "failed"]


def test_an_announced_stream_goes_on_from_there() -> None:
    queued = msgspec.structs.replace(opening(background=True), status="queued")
    writer = ResponseStream(opening(background=True), suffix="1", changes={}, is_announced=True, first=ANNOUNCED)
    said = announced(msgspec.json.encode(queued)) + writer.frame(told(Choice(text="x")))
    events = events_in(said)
    assert names(events)[:3] == ["created", "queued", "in_progress"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["response"]["status"] for event in events[:3]] == ["queued", "queued", "in_progress"]


def test_a_whole_answer_has_the_same_items_as_its_stream() -> None:
    choice = Choice(
        text="I look.",
        reasoning="think",
        tool_calls=(ToolCallDelta(index=0, id="call_a", name="f", arguments="{}"),),
        finish_reason="tool_calls",
    )
    ended_whole = whole(told(choice, usage=USAGE), opening(), suffix="1", completed=9, changes={})
    end = Choice(finish_reason="tool_calls")
    streamed = played(told(msgspec.structs.replace(choice, finish_reason=None)), told(end, usage=USAGE))
    assert msgspec.json.decode(ended_whole.body) == streamed[-1]["response"]


def test_the_last_event_of_what_was_cancelled_says_so() -> None:
    cancelled = ended(msgspec.structs.replace(opening(), status="cancelled"))
    (event,) = events_in(last_event(cancelled, number=7))
    assert (event["type"], event["sequence_number"]) == ("response.failed", 7)
    assert event["response"]["status"] == "cancelled"
