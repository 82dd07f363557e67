import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undercroft.errors import InvalidRequest, UpstreamTimedOut
from undercroft.llm.types import Choice, Chunk, Message, Sampling, Usage
from undercroft.wire import sse
from undercroft.wire.generate import GenerateStream, decode, whole

USAGE = Usage(input=2, output=3)


def test_the_prompt_may_be_a_query_parameter_alone() -> None:
    request = decode(b"prompt=Hello+w%C3%B6rld", b"")
    assert request.messages == (Message(role="user", content="Hello wörld"),)
    assert (request.model, request.stream, request.source) == ("", False, None)


@pytest.mark.parametrize("body", [b"", b"  ", b"\r\n"])
def test_an_empty_body_is_no_body(body: bytes) -> None:
    assert decode(b"prompt=Hi", body).messages[0].content == "Hi"


def test_the_prompt_may_be_json() -> None:
    request = decode(b"", b'{"prompt":"Hi","model":"chat","max_tokens":5,"temperature":0.5,"stream":true,"other":1}')
    assert request.messages[0].content == "Hi"
    assert (request.model, request.stream) == ("chat", True)
    assert request.sampling == Sampling(max_tokens=5, temperature=0.5)


def test_the_body_wins_over_the_query_and_both_add_up() -> None:
    request = decode(b"prompt=query&model=chat&stream=true&max_tokens=5&temperature=1", b'{"prompt":"body"}')
    assert request.messages[0].content == "body"
    assert (request.model, request.stream) == ("chat", True)
    assert request.sampling == Sampling(max_tokens=5, temperature=1.0)


@pytest.mark.parametrize(
    ("query", "body", "param", "code"),
    [
        (b"", b"", "prompt", "missing_required_parameter"),
        (b"model=chat", b"{}", "prompt", "missing_required_parameter"),
        (b"", b'{"prompt":null}', "prompt", "missing_required_parameter"),
        (b"", b'{"prompt":5}', "prompt", "invalid_type"),
        (b"", b"prompt=Hi", None, "invalid_json"),
        (b"", b"[]", None, "invalid_type"),
        (b"prompt=%ff", b"", None, "invalid_query"),
        (b"prompt=\xff", b"", None, "invalid_query"),
        (b"prompt=x&max_tokens=0", b"", "max_tokens", "integer_below_min_value"),
        (b"prompt=x&max_tokens=many", b"", "max_tokens", "invalid_type"),
        (b"prompt=x&temperature=9", b"", "temperature", "decimal_above_max_value"),
        (b"prompt=x&temperature=nan", b"", "temperature", "decimal_below_min_value"),
        (b"prompt=x&stream=perhaps", b"", "stream", "invalid_type"),
    ],
)
def test_a_malformed_request_is_refused(query: bytes, body: bytes, param: str | None, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(query, body)
    assert (caught.value.param, caught.value.code) == (param, code)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_are_a_request_or_a_refusal(query: bytes, body: bytes) -> None:
    with suppress(InvalidRequest):
        assert decode(query, body).messages


def test_the_answer_is_the_result_with_its_exact_cost() -> None:
    answer = json.loads(whole(Chunk(choices=(Choice(text="Hi"),)), model="chat", usage=USAGE, cost_nano=1_250))
    assert (answer["result"], answer["model"], answer["cost"]) == ("Hi", "chat", "0.00000125")
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (2, 3)


def test_a_stream_is_texts_then_the_whole_result_then_done() -> None:
    writer = GenerateStream(model="chat")
    chunks = (
        Chunk(choices=(Choice(text="Hel"),)),
        Chunk(choices=(Choice(finish_reason="stop"),)),
        Chunk(choices=(Choice(text="lo"),)),
    )
    *payloads, done = sse.Events().feed(b"".join([*map(writer.frame, chunks), writer.end(USAGE, 0)]))
    events: list[dict[str, Any]] = [json.loads(payload) for payload in payloads]
    assert events[:2] == [{"text": "Hel"}, {"text": "lo"}]
    assert (events[2]["result"], events[2]["cost"], len(events)) == ("Hello", "0", 3)
    assert done == sse.DONE


def test_a_broken_stream_ends_in_an_error_without_done() -> None:
    payloads = sse.Events().feed(GenerateStream(model="chat").error(UpstreamTimedOut("Silent.")))
    assert [json.loads(payload)["error"]["code"] for payload in payloads] == ["upstream_timeout"]
