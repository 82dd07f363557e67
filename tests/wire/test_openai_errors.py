"""The official openai SDK against a running server: typed errors, retries, time limits, streams that break."""

import time
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.support.server import Server, until
from tests.support.upstream import Upstream
from tests.wire.conftest import API_KEY

HI: Any = [{"role": "user", "content": "Say something."}]


def ask(client: openai.OpenAI, model: str, **more: Any) -> Any:
    return client.chat.completions.create(**{"model": model, "messages": HI, **more})


@pytest.mark.parametrize(
    ("given", "kind", "code", "param", "type"),
    [
        ({"messages": []}, openai.BadRequestError, "empty_array", "messages", "invalid_request_error"),
        ({"temperature": 9}, openai.BadRequestError, "decimal_above_max_value", "temperature", "invalid_request_error"),
        ({"model": "nobody"}, openai.NotFoundError, "model_not_found", "model", "invalid_request_error"),
        (
            {"model": "refuses"},
            openai.UnprocessableEntityError,
            "upstream_refused",
            "messages",
            "invalid_request_error",
        ),
        ({"model": "busy"}, openai.InternalServerError, "upstream_overloaded", None, "upstream_error"),
        ({"model": "broken"}, openai.InternalServerError, "upstream_overloaded", None, "upstream_error"),
        ({"model": "bad-key"}, openai.InternalServerError, "upstream_refused", None, "upstream_error"),
        ({"model": "web-page"}, openai.InternalServerError, "upstream_invalid", None, "upstream_error"),
        ({"model": "reset-before-head"}, openai.InternalServerError, "upstream_unreachable", None, "upstream_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_sdks_own(
    client: openai.OpenAI, given: dict[str, Any], kind: type[openai.APIStatusError], code: Any, param: Any, type: str,
    stream: bool,
) -> None:  # fmt: skip
    with pytest.raises(kind) as caught:
        ask(client, **{"model": "chat", "stream": stream, **given})
    error = caught.value
    assert (error.code, error.param, error.type) == (code, param, type)
    assert error.request_id is not None
    assert error.request_id.startswith("req_")
    assert API_KEY not in str(error)


def test_a_status_without_a_class_of_its_own_keeps_its_status(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, "too-large")
    assert caught.value.status_code == 413


def test_a_wrong_key_of_ours_is_an_authentication_error(server: Server) -> None:
    wrong = "uc_aaaaaaaa_" + "b" * 43
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=wrong, max_retries=2) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        ask(client, "chat")
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "authentication_error")


@pytest.mark.parametrize(
    ("model", "calls", "should_retry"),
    [
        ("busy", 3, None),
        ("quota-spent", 1, "false"),
        ("bad-key", 1, "false"),
        ("refuses", 1, None),
    ],
)
def test_an_sdk_that_tries_again_does_so_only_where_it_helps(
    server: Server, upstream: Upstream, model: str, calls: int, should_retry: str | None
) -> None:
    user = f"retries-{model}"
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="sk-anything", max_retries=2) as client:
        begun = time.monotonic()
        with pytest.raises(openai.APIStatusError) as caught:
            ask(client, model, user=user)
        assert time.monotonic() - begun < 30
    assert caught.value.response.headers.get("x-should-retry") == should_retry
    until(lambda: len([row for row in server.rows() if row.end_user == user]) == calls)
    attempts = [row.attempts for row in server.rows() if row.end_user == user]
    # The gateway tries again too, as long as its retry budget lasts: never what no retry can mend.
    assert max(attempts) <= (1 if model in ("bad-key", "refuses") else 3)
    assert len([each for each in upstream.requests if each.json.get("user") == user]) == sum(attempts)


def test_the_providers_own_wish_reaches_the_sdk_in_milliseconds(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "busy")
    headers = caught.value.response.headers
    assert (headers["retry-after-ms"], headers["retry-after"]) == ("20", "1")


def test_a_time_limit_of_the_caller_ends_the_call_upstream_too(server: Server, upstream: Upstream) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="sk-anything", max_retries=0, timeout=0.4) as client:
        begun = time.monotonic()
        with pytest.raises(openai.APITimeoutError):
            ask(client, "silent", user="no-patience")
        assert time.monotonic() - begun < 4
    (peer,) = [each for each in upstream.peers if each.requests and each.requests[-1].json.get("user") == "no-patience"]
    until(peer.closed.is_set, within_s=1.0, every_s=0.005)


def test_a_provider_that_stays_silent_is_504(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "silent", timeout=60)
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("reset-mid-stream", "upstream_unreachable"),
        ("close-mid-stream", "upstream_unreachable"),
        ("cut-stream", "upstream_invalid"),
        ("done-too-early", "upstream_invalid"),
        ("stall-mid-stream", "upstream_timeout"),
        ("error-frame", "upstream_overloaded"),
        ("trailing-error", "upstream_overloaded"),
    ],
)
def test_a_stream_that_breaks_is_an_error_and_never_a_clean_end(
    client: openai.OpenAI, server: Server, model: str, code: str
) -> None:
    texts: list[str] = []

    def read() -> None:
        for chunk in ask(client, model, stream=True, user=f"broken-{model}"):
            texts.extend(choice.delta.content for choice in chunk.choices if choice.delta.content)

    with pytest.raises(openai.APIError) as caught:
        read()
    assert "".join(texts) == "one two", "what came before is passed on"
    assert not isinstance(caught.value, openai.APIStatusError)
    assert caught.value.code == code
    answer = server.chat(model=model, stream=True)
    assert answer.status == 200
    assert b"[DONE]" not in answer.body
    assert answer.body.rstrip().rpartition(b"\n\n")[2].startswith(b'data: {"error":')
    until(lambda: any(row.end_user == f"broken-{model}" for row in server.rows()))
    (row,) = [each for each in server.rows() if each.end_user == f"broken-{model}"]
    assert row.error == code
    assert row.status >= 500
    assert row.output_tokens > 0, "what was spent on the half answer is booked"


@pytest.mark.parametrize("model", ["no-done", "close-after-finish", "never-closes"])
def test_a_stream_is_complete_when_every_choice_has_its_finish_reason(
    client: openai.OpenAI, server: Server, model: str
) -> None:
    chunks = list(ask(client, model, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert server.chat(model=model, stream=True).body.endswith(b"data: [DONE]\n\n")


def test_an_error_in_the_first_event_has_a_status_of_its_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, "error-first", stream=True)
    assert caught.value.status_code == 503


@pytest.mark.parametrize("call", [lambda c: c.embeddings.create(model="fake", input="x"), lambda c: ask(c, "fake")])
def test_no_answer_of_the_server_names_the_upstreams_key(
    client: openai.OpenAI, server: Server, call: Callable[[openai.OpenAI], Any]
) -> None:
    call(client)
    assert API_KEY not in server.stdout + server.stderr
