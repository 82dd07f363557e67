"""`/api/generate` in all its forms, as curl would ask."""

import msgspec
import pytest

from tests.support.http import Answer
from tests.support.server import Server

SAID = "One two three four five."


def frames(answer: Answer) -> list[bytes]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    *found, end = answer.body.split(b"\n\n")
    assert end == b""
    return [frame.removeprefix(b"data: ") for frame in found]


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?prompt=Hi%20there&model=chat", None),
        ("?prompt=Hi+there", b""),
        ("", b'{"prompt": "Hi there"}'),
        ("", b'{"prompt": "Hi there", "model": "chat", "temperature": 0.5, "stream": false}'),
        ("?prompt=ignored+here", b'{"prompt": "Hi there"}'),
        ("?model=chat", b'{"prompt": "Hi there"}'),
        ("?prompt=Hi%20there", b"  \n"),
    ],
)
def test_a_prompt_in_a_query_in_json_or_in_both(server: Server, query: str, body: bytes | None) -> None:
    answer = server.ask(f"/api/generate{query}", method="POST", body=body)
    assert answer.status == 200, answer
    told = answer.json
    assert set(told) == {"result", "model", "usage", "cost"}
    assert (told["result"], told["model"], told["cost"]) == (SAID, "chat", "0.000012")
    assert told["usage"]["prompt_tokens"] == 2
    assert told["usage"]["completion_tokens"] == 5
    assert told["usage"]["total_tokens"] == 7
    assert answer.request_id


@pytest.mark.parametrize(
    ("query", "body"),
    [("?prompt=Hi&stream=true", None), ("?stream=1", b'{"prompt":"Hi"}'), ("", b'{"prompt":"Hi","stream":true}')],
)
def test_a_stream_is_texts_then_the_result_then_done(server: Server, query: str, body: bytes | None) -> None:
    *texts, result, done = frames(server.ask(f"/api/generate{query}", method="POST", body=body))
    assert done == b"[DONE]"
    told = [msgspec.json.decode(text) for text in texts]
    assert all(set(each) == {"text"} for each in told)
    assert "".join(each["text"] for each in told) == SAID
    last = msgspec.json.decode(result)
    assert (last["result"], last["usage"]["completion_tokens"], last["cost"]) == (SAID, 5, "0.000011")


def test_a_stream_that_breaks_ends_in_an_error_without_result_and_done(server: Server) -> None:
    answer = server.ask("/api/generate", json={"prompt": "Hi", "model": "reset-mid-stream", "stream": True})
    *texts, error = frames(answer)
    assert all(set(msgspec.json.decode(text)) == {"text"} for text in texts)
    assert msgspec.json.decode(error)["error"]["code"] == "upstream_unreachable"


def test_max_tokens_and_special_characters(server: Server) -> None:
    answer = server.ask("/api/generate?prompt=%C3%A4%26%3D%2B+%F0%9F%98%80&max_tokens=2", method="POST")
    assert answer.json["result"] == "One two"
    assert answer.json["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize(
    ("query", "body", "status", "code"),
    [
        ("", None, 400, "missing_required_parameter"),
        ("?prompt=hi&max_tokens=0", None, 400, "integer_below_min_value"),
        ("?prompt=hi&temperature=hot", None, 400, "invalid_type"),
        ("?prompt=%ff", None, 400, "invalid_query"),
        ("?prompt=hi", b"[1]", 400, "invalid_type"),
        ("?prompt=hi&model=nobody", None, 404, "model_not_found"),
        ("", b'{"prompt": "hi", "model": "broken"}', 503, "upstream_overloaded"),
    ],
)
def test_what_is_wrong_is_said(server: Server, query: str, body: bytes | None, status: int, code: str) -> None:
    answer = server.ask(f"/api/generate{query}", method="POST", body=body)
    assert (answer.status, answer.error["code"]) == (status, code)
