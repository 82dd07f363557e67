"""A provider's own events on their way through."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.responses_upstream import events_of, framed, whole_response
from undercroft.errors import UpstreamGarbled
from undercroft.llm.types import Chunk
from undercroft.wire import sse
from undercroft.wire.openai.responses.answer import begun, changed, read_ended
from undercroft.wire.openai.responses.request import decode
from undercroft.wire.openai.responses.stream import ANNOUNCED, ResponseStream, whole
from undercroft.wire.openai.responses.upstream import decode_event, decode_whole

ASKED: dict[str, Any] = {"model": "relayed", "input": "hi", "tools": [{"type": "web_search"}]}
BODY = whole_response(ASKED)
EVENTS = list(events_of(BODY))


def writer(changes: dict[str, object] | None = None, *, is_announced: bool = False) -> ResponseStream:
    opening = begun(decode(msgspec.json.encode(ASKED)).body, id="resp_ours", created=5, model="m")
    first = ANNOUNCED if is_announced else 0
    return ResponseStream(opening, suffix="1", changes=changes or {}, is_announced=is_announced, first=first)


def through(relay: ResponseStream, events: list[dict[str, Any]]) -> bytes:
    return b"".join(relay.frame(decode_event(msgspec.json.encode(event))) for event in events)


def read(stream: bytes) -> list[dict[str, Any]]:
    return [msgspec.json.decode(frame.split(b"\ndata: ")[1]) for frame in stream.split(b"\n\n") if frame]


def test_events_pass_as_bytes() -> None:
    relay = writer()
    said = through(relay, EVENTS)
    ended = relay.finish(None, completed=9)
    assert said + relay.end(ended) == b"".join(map(framed, EVENTS))
    assert (ended.id, ended.status) == (BODY["id"], "completed")
    assert msgspec.json.decode(ended.body) == BODY


def test_the_last_event_waits_until_the_response_is_stored() -> None:
    relay = writer()
    assert read(through(relay, EVENTS))[-1]["type"] == "response.output_item.done"


def test_only_what_we_know_better_is_changed() -> None:
    relay = writer({"previous_response_id": "resp_before"})
    said = read(through(relay, EVENTS) + relay.end(relay.finish(None, completed=9)))
    for event, original in zip(said, EVENTS, strict=True):
        wanted = dict(original)
        if "response" in event:
            wanted["response"] = {**original["response"], "previous_response_id": "resp_before"}
        assert event == wanted


def test_in_the_background_ids_and_numbers_are_ours() -> None:
    relay = writer({"id": "resp_ours", "background": True}, is_announced=True)
    said = read(through(relay, EVENTS) + relay.end(relay.finish(None, completed=9)))
    assert [event["sequence_number"] for event in said] == list(range(2, 2 + len(said)))
    assert [event["type"] for event in said] == [event["type"] for event in EVENTS[1:]]
    assert {event["response"]["id"] for event in said if "response" in event} == {"resp_ours"}


def test_a_broken_relay_ends_with_the_providers_object_and_the_next_number() -> None:
    relay = writer()
    said = read(through(relay, EVENTS[:5]) + relay.error(UpstreamGarbled("cut")))
    last = said[-1]
    assert (last["type"], last["sequence_number"]) == ("response.failed", 5)
    assert (last["response"]["id"], last["response"]["status"]) == (BODY["id"], "failed")
    assert last["response"]["something_new"] == {"kept": True}


def test_an_answer_in_one_piece_becomes_a_stream() -> None:
    relay = writer()
    said = relay.frame(decode_whole(msgspec.json.encode(BODY)))
    events = read(said + relay.end(relay.finish(None, completed=9)))
    assert events[0]["type"] == "response.created"
    assert events[-1] == {"type": "response.completed", "response": BODY, "sequence_number": len(events) - 1}
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert "".join(event["delta"] for event in events if "delta" in event) == "one two three"


def test_what_was_not_kept_says_so_in_the_last_event() -> None:
    relay = writer()
    through(relay, EVENTS)
    unkept = read_ended(changed(relay.finish(None, completed=9).body, store=False))
    (last,) = read(relay.end(unkept))
    assert last["response"] == {**BODY, "store": False}


def test_a_whole_answer_is_the_providers_own() -> None:
    body = msgspec.json.encode(BODY)
    opening = begun(decode(b'{"input":"hi"}').body, id="resp_ours", created=5, model="m")
    assert whole(decode_whole(body), opening, suffix="1", completed=9, changes={}).body == body
    altered = whole(decode_whole(body), opening, suffix="1", completed=9, changes={"previous_response_id": "resp_0"})
    assert msgspec.json.decode(altered.body) == {**BODY, "previous_response_id": "resp_0"}


STREAM = b"".join(map(framed, EVENTS))


@given(st.lists(st.integers(0, len(STREAM)), max_size=8), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_split_of_the_bytes_reads_the_same(cuts: list[int], line_end: bytes) -> None:
    stream = STREAM.replace(b"\n", line_end)
    places = [0, *sorted(cuts), len(stream)]
    parser = sse.Events()
    payloads = [payload for start, end in pairwise(places) for payload in parser.feed(stream[start:end])]
    chunks: list[Chunk] = [decode_event(payload) for payload in payloads]
    relay = writer()
    said = b"".join(map(relay.frame, chunks))
    assert said + relay.end(relay.finish(None, completed=9)) == STREAM


@pytest.mark.parametrize("text", ["a\u2028b", 'quote"d', "\x00", "\n\n", "data: x", "event: response.failed\n"])
def test_no_text_breaks_the_framing(text: str) -> None:
    event = {"type": "response.output_text.delta", "sequence_number": 0, "delta": text}
    assert read(writer().frame(decode_event(msgspec.json.encode(event)))) == [event]
