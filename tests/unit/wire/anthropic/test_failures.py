"""What refusals of Anthropic's mean."""

import msgspec
import pytest

from tests.support.anthropic_upstream import error
from undercroft.errors import UpstreamError, UpstreamOverloaded, UpstreamRefused, UpstreamTimedOut
from undercroft.wire.anthropic.failures import decode_error, refused

NOW_US = 1_764_000_000_000_000


@pytest.mark.parametrize(
    ("status", "kind", "message", "made", "code", "retryable"),
    [
        (400, "invalid_request_error", "messages: Field required", UpstreamRefused, None, False),
        (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum", UpstreamRefused,
         "context_length_exceeded", False),
        (400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000",
         UpstreamRefused, "context_length_exceeded", False),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.",
         UpstreamOverloaded, "upstream_quota_spent", True),
        (401, "authentication_error", "invalid x-api-key", UpstreamRefused, None, False),
        (402, "billing_error", "no money", UpstreamRefused, None, False),
        (403, "permission_error", "no", UpstreamRefused, None, False),
        (404, "not_found_error", "model: x", UpstreamRefused, None, False),
        (413, "request_too_large", "too large", UpstreamRefused, None, False),
        (429, "rate_limit_error", "slow down", UpstreamOverloaded, None, True),
        (500, "api_error", "oops", UpstreamOverloaded, None, True),
        (504, "timeout_error", "late", UpstreamTimedOut, None, True),
        (529, "overloaded_error", "Overloaded", UpstreamOverloaded, None, True),
    ],
)  # fmt: skip
def test_an_error_means_the_same_by_its_status_and_inside_a_stream(
    status: int, kind: str, message: str, made: type[UpstreamError], code: str | None, retryable: bool
) -> None:
    body = msgspec.json.encode(error(kind, message))
    for failure in (decode_error(status, {}, body, now_us=NOW_US), refused(body)):
        assert type(failure) is made
        assert failure.retryable is retryable
        assert code is None or failure.code == code


def test_what_the_caller_can_mend_keeps_its_status() -> None:
    body = msgspec.json.encode(error("request_too_large", "too large"))
    assert decode_error(413, {}, body, now_us=NOW_US).status == 413
    assert decode_error(401, {}, body, now_us=NOW_US).status == 502


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250"}, 0.25),
        (
            {
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "2025-11-24T16:00:30Z",
                "anthropic-ratelimit-requests-remaining": "5",
                "anthropic-ratelimit-requests-reset": "2025-11-24T17:00:00Z",
            },
            30.0,
        ),
        ({"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "soon"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_read_from_every_place(headers: dict[str, str], wait_s: float | None) -> None:
    body = msgspec.json.encode(error("rate_limit_error", "slow down"))
    assert decode_error(429, headers, body, now_us=NOW_US).retry_after_s == wait_s


def test_a_key_in_the_providers_words_is_not_passed_on() -> None:
    body = msgspec.json.encode(error("invalid_request_error", "bad key sk-ant-api03-abcdefgh12345678"))
    assert "sk-ant" not in str(decode_error(400, {}, body, now_us=NOW_US))
