import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undercroft.errors import (
    UpstreamError,
    UpstreamGarbled,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
)
from undercroft.wire.errors import QUOTA_SPENT, envelope
from undercroft.wire.openai.failures import decode_error, error_in_answer

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


def failed(status: int, body: Any = b"", **headers: str) -> UpstreamError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_error(status, {name.replace("_", "-"): v for name, v in headers.items()}, data, now_us=0)


def told(message: str = "No.", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_what_concerns_the_callers_request_is_passed_on_whole(status: int) -> None:
    error = failed(
        status, told("Too long.", code="context_length_exceeded", type="invalid_request_error", param="messages")
    )
    assert isinstance(error, UpstreamRefused)
    assert (error.status, error.upstream_status, error.retryable) == (status, status, False)
    assert (error.message, error.code, error.kind, error.param) == (
        "Too long.",
        "context_length_exceeded",
        "invalid_request_error",
        "messages",
    )


@pytest.mark.parametrize("status", [401, 402, 403, 407])
def test_our_own_credential_is_never_the_callers_fault_nor_shown(status: int) -> None:
    error = failed(status, told(f"Incorrect API key provided: {KEY}.", code="invalid_api_key"))
    assert isinstance(error, UpstreamRefused)
    assert (error.status, error.upstream_status) == (502, status)
    answer = envelope(error, request_id="r")
    assert (b"x-should-retry", b"false") in answer[1]
    assert b"sk-" not in answer[2]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (408, UpstreamTimedOut),
        (409, UpstreamOverloaded),
        (425, UpstreamOverloaded),
        (429, UpstreamOverloaded),
        (500, UpstreamOverloaded),
        (502, UpstreamOverloaded),
        (503, UpstreamOverloaded),
        (504, UpstreamTimedOut),
        (529, UpstreamOverloaded),
        (302, UpstreamGarbled),
    ],
)
def test_what_may_pass_is_worth_another_try(status: int, kind: type[UpstreamError]) -> None:
    error = failed(status, told("Busy."))
    assert type(error) is kind
    assert error.retryable
    assert (error.message, error.upstream_status) == ("Busy.", status)


def test_an_empty_account_is_told_apart_from_a_rate_limit() -> None:
    error = failed(429, told("You exceeded your quota.", code="insufficient_quota", type="insufficient_quota"))
    assert isinstance(error, UpstreamOverloaded)
    assert error.code == QUOTA_SPENT


def test_the_wait_is_read_from_wherever_it_is_told() -> None:
    assert failed(429, told(), retry_after="7").retry_after_s == 7.0
    assert failed(503, told(), retry_after_ms="250").retry_after_s == 0.25
    assert failed(429, told(details=[{"retryDelay": "17s"}])).retry_after_s == 17.0
    assert failed(429, [told(details=[{"retryDelay": "17s"}])]).retry_after_s == 17.0
    assert failed(429, told()).retry_after_s is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (told("Plain."), "Plain."),
        ({"error": "A string."}, "A string."),
        ({"object": "error", "message": "Bare.", "code": 400}, "Bare."),
        ([told("Listed.", code=400)], "Listed."),
        ({"detail": "FastAPI."}, "FastAPI."),
        ({"detail": [{"loc": ["body", "n"], "msg": "too many"}]}, "body.n: too many"),
        ("Just text.", "Just text."),
        (b"", "The provider answered with status 400, without a word."),
        (
            b"<!doctype html><h1>Not Found</h1>",
            "The provider answered with status 400, with a web page: base_url may not be an API's address.",
        ),
        (b"nonsense", "The provider answered with status 400, with something that is not JSON."),
        (b"\xff\xfe", "The provider answered with status 400, with something that is not JSON."),
        (b"[" * 100_000, "The provider answered with status 400, with something that is not JSON."),
    ],
)
def test_each_way_of_telling_what_happened_is_understood(body: Any, message: str) -> None:
    assert failed(400, body).message == message


def test_a_key_in_a_message_is_struck_out_and_a_long_message_is_cut() -> None:
    assert KEY not in failed(400, told(f"Bad key {KEY} used")).message
    assert "[REDACTED] used" in failed(400, told(f"Bad key {KEY} used")).message
    assert len(failed(400, told("x" * 100_000)).message) < 3000


def test_a_numeric_code_is_told_as_text() -> None:
    assert failed(400, told(code=1234)).code == "1234"


@pytest.mark.parametrize(
    ("detail", "status"),
    [
        ({"code": 400}, 400),
        ({"code": "404"}, 404),
        ({"status": 429}, 429),
        ({"type": "invalid_request_error"}, 400),
        ({"type": "server_error"}, 500),
        ({"code": True}, 500),
        ({"code": 200}, 500),
        ({}, 500),
    ],
)
def test_an_error_inside_an_answer_has_the_status_it_names(detail: dict[str, Any], status: int) -> None:
    assert error_in_answer(told("x", **detail)).upstream_status == status


@settings(deadline=None, max_examples=400)
@given(
    st.integers(300, 599),
    st.binary(max_size=40)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "error",
                        "message",
                        "code",
                        "type",
                        "param",
                        "detail",
                        "details",
                        "loc",
                        "retryDelay",
                        "retry_after",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)
def test_any_refusal_has_a_message_and_an_envelope(status: int, body: bytes) -> None:
    error = failed(status, body)
    assert error.message
    assert error.upstream_status == status
    assert envelope(error, request_id="r")[0] >= 400


def test_a_prompt_that_is_too_long_and_forbidden_content_have_codes_whoever_says_so() -> None:
    assert failed(400, told("prompt is too long: 9 tokens > 8 maximum")).code == "context_length_exceeded"
    assert failed(400, told("Output blocked by content filtering policy")).code == "content_policy_violation"
    assert failed(400, told("No.", code="content_filter")).code == "content_filter"


def test_a_refusal_inside_a_stream_or_under_a_500_is_still_one() -> None:
    for error in (
        error_in_answer(told("No.", code="context_length_exceeded")),
        failed(500, told("Context size has been exceeded.", type="exceed_context_size_error")),
    ):
        assert isinstance(error, UpstreamRefused)
        assert (error.status, error.code) == (400, "context_length_exceeded")


def test_what_the_provider_says_of_trying_again_is_kept() -> None:
    assert failed(503, told(), x_should_retry="false").retryable is False
    assert failed(400, told(), x_should_retry="true").retryable is True
    assert failed(503, told()).retryable is True
