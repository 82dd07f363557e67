"""Errors as the official anthropic SDK sees them: classes, retries, streams that break."""

from typing import Any

import anthropic
import pytest

from tests.support.anthropic_upstream import AnthropicUpstream
from tests.support.http import Answer
from tests.support.server import Server, until
from tests.wire.conftest import API_KEY

HI: Any = [{"role": "user", "content": "Count to ten."}]


def ask(client: anthropic.Anthropic, model: str, **more: Any) -> Any:
    return client.messages.create(**{"model": model, "max_tokens": 64, "messages": HI, **more})


def told(answer: Answer) -> dict[str, Any]:
    """The error in Anthropic's envelope, which must be exactly that."""
    body: dict[str, Any] = answer.json
    assert set(body) == {"type", "error", "request_id"}, answer
    assert set(body["error"]) == {"type", "message"}, answer
    assert (body["type"], body["request_id"]) == ("error", answer.request_id)
    error: dict[str, Any] = body["error"]
    return error


@pytest.mark.parametrize(
    ("given", "kind", "type"),
    [
        ({"messages": []}, anthropic.BadRequestError, "invalid_request_error"),
        ({"extra_body": {"temperature": 3}}, anthropic.BadRequestError, "invalid_request_error"),
        ({"model": "nobody"}, anthropic.NotFoundError, "not_found_error"),
        ({"model": "a-too-long"}, anthropic.BadRequestError, "invalid_request_error"),
        ({"model": "a-too-large"}, anthropic.ContentTooLargeError, "request_too_large"),
        ({"model": "a-overloaded"}, anthropic.OverloadedError, "overloaded_error"),
        ({"model": "a-busy"}, anthropic.OverloadedError, "overloaded_error"),
        ({"model": "a-broken"}, anthropic.OverloadedError, "overloaded_error"),
        ({"model": "a-bad-key"}, anthropic.InternalServerError, "api_error"),
        ({"model": "a-web-page"}, anthropic.InternalServerError, "api_error"),
        ({"model": "a-silent"}, anthropic.GatewayTimeoutError, "timeout_error"),
        ({"model": "a-error-first", "stream": True}, anthropic.OverloadedError, "overloaded_error"),
        ({"model": "a-error-after-start", "stream": True}, anthropic.OverloadedError, "overloaded_error"),
        ({"model": "busy"}, anthropic.OverloadedError, "overloaded_error"),
        ({"model": "refuses"}, anthropic.UnprocessableEntityError, "invalid_request_error"),
    ],
)
def test_errors_are_the_sdks_own(messages: anthropic.Anthropic, given: dict[str, Any], kind: Any, type: str) -> None:
    with pytest.raises(kind) as caught:
        ask(messages, **{"model": "chat", **given})
    error = caught.value
    assert error.type == type
    assert error.request_id.startswith("req_")
    assert error.body["request_id"] == error.request_id
    assert API_KEY not in str(error)


@pytest.mark.parametrize(
    ("path", "request_", "status", "type"),
    [
        ("/v1/messages", {"body": "{"}, 400, "invalid_request_error"),
        ("/v1/messages", {"json": {"model": "chat", "messages": HI}}, 400, "invalid_request_error"),
        ("/v1/messages", {"key": "uc_aaaaaaaa_" + "b" * 43, "json": {}}, 401, "authentication_error"),
        ("/v1/messages", {"method": "GET"}, 405, "invalid_request_error"),
        ("/v1/messages", {"body": b" " * 20_000_001}, 413, "request_too_large"),
        ("/v1/messages", {"json": {}, "headers": {"host": "elsewhere.example"}}, 421, "invalid_request_error"),
        ("/v1/messages/nowhere", {}, 404, "not_found_error"),
        ("/v1/messages/count_tokens", {"json": {"messages": 7}}, 400, "invalid_request_error"),
        ("/v1/models/nobody", {"headers": {"anthropic-version": "2023-06-01"}}, 404, "not_found_error"),
        ("/v1/models?limit=x", {"headers": {"anthropic-version": "2023-06-01"}}, 400, "invalid_request_error"),
    ],
)
def test_every_error_on_these_routes_has_anthropics_envelope(
    server: Server, path: str, request_: dict[str, Any], status: int, type: str
) -> None:
    answer = server.ask(path, **request_)
    assert answer.status == status
    assert told(answer)["type"] == type


def test_other_routes_keep_openais_envelope(server: Server) -> None:
    assert server.ask("/v1/models/nobody").error["code"] == "model_not_found"
    assert server.ask("/v1/messagesx", json={}).error["code"] == "unknown_route"


def test_an_unknown_model_says_which_exist(server: Server) -> None:
    answer = server.ask("/v1/messages", json={"model": "chatt", "max_tokens": 5, "messages": HI})
    assert "Did you mean 'chat'?" in told(answer)["message"]


@pytest.mark.parametrize(
    ("model", "calls", "should_retry"),
    [("a-overloaded", 3, None), ("a-no-credit", 1, "false"), ("a-bad-key", 1, "false"), ("a-too-long", 1, None)],
)
def test_an_sdk_that_tries_again_does_so_only_where_it_helps(
    server: Server, anthropic_upstream: AnthropicUpstream, model: str, calls: int, should_retry: str | None
) -> None:
    user = f"retries-{model}"
    with (
        anthropic.Anthropic(base_url=server.url, api_key="sk-ant-any", max_retries=2) as client,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        ask(client, model, metadata={"user_id": user})
    assert caught.value.response.headers.get("x-should-retry") == should_retry
    until(lambda: len([row for row in server.rows() if row.end_user == user]) == calls)
    attempts = sum(row.attempts for row in server.rows() if row.end_user == user)
    assert len([each for each in anthropic_upstream.requests if user in str(each.json.get("metadata"))]) == attempts


def test_the_providers_own_wish_reaches_the_sdk(messages: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.OverloadedError) as caught:
        ask(messages, "a-busy")
    assert caught.value.response.headers["retry-after-ms"] == "20"


@pytest.mark.parametrize(
    ("model", "code", "type"),
    [
        ("a-reset-mid-stream", "upstream_unreachable", "api_error"),
        ("a-close-mid-stream", "upstream_unreachable", "api_error"),
        ("a-cut-stream", "upstream_invalid", "api_error"),
        ("a-no-stop", "upstream_invalid", "api_error"),
        ("a-stop-too-early", "upstream_invalid", "api_error"),
        ("a-stall-mid-stream", "upstream_timeout", "timeout_error"),
        ("a-error-event", "upstream_overloaded", "overloaded_error"),
        ("a-error-after-end", "upstream_overloaded", "overloaded_error"),
        ("reset-mid-stream", "upstream_unreachable", "api_error"),
        ("cut-stream", "upstream_invalid", "api_error"),
        ("error-frame", "upstream_overloaded", "overloaded_error"),
    ],
)
def test_a_stream_that_breaks_is_an_error_and_never_a_clean_end(
    messages: anthropic.Anthropic, server: Server, model: str, code: str, type: str
) -> None:
    texts: list[str] = []

    def read() -> None:
        with messages.messages.stream(
            model=model, max_tokens=64, messages=HI, metadata={"user_id": f"cut-{model}"}
        ) as stream:
            texts.extend(stream.text_stream)

    with pytest.raises(anthropic.APIStatusError) as caught:
        read()
    assert "".join(texts) == "one two", "what came before is passed on"
    assert caught.value.type == type
    body = {"model": model, "max_tokens": 64, "messages": HI, "stream": True}
    answer = server.ask("/v1/messages", json=body)
    assert answer.status == 200
    assert b"message_stop" not in answer.body
    last = answer.body.rstrip().rpartition(b"\n\n")[2]
    assert last.startswith(b'event: error\ndata: {"type":"error",')
    assert answer.request_id.encode() in last
    until(lambda: any(row.end_user == f"cut-{model}" for row in server.rows()))
    (row,) = [each for each in server.rows() if each.end_user == f"cut-{model}"]
    assert row.error == code
    assert row.output_tokens >= 2, "what was spent on the half answer is booked"
    assert row.input_tokens > 0
