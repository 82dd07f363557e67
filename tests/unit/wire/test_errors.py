import json
from typing import Any

import pytest

from undercroft import errors
from undercroft.wire.errors import QUOTA_SPENT, envelope, stream_error_frame


def answered(error: BaseException) -> tuple[int, dict[str, str], dict[str, Any]]:
    status, headers, body = envelope(error, request_id="req_1")
    return status, {name.decode(): value.decode() for name, value in headers}, json.loads(body)["error"]


def subclasses(kind: type[errors.UndercroftError]) -> list[type[errors.UndercroftError]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in subclasses(child))]


def made(kind: type[errors.UndercroftError]) -> errors.UndercroftError:
    if kind is errors.MethodNotAllowed:
        return errors.MethodNotAllowed("Only GET.", allowed=("GET", "HEAD"))
    if kind is errors.UpstreamRefused:
        return errors.UpstreamRefused("No.", upstream_status=400)
    if kind is errors.MissingExtra:
        return errors.MissingExtra("Qdrant", extra="qdrant")
    return kind("It failed.")


TOLD = [
    kind
    for kind in subclasses(errors.UndercroftError)
    if kind.__module__ == errors.__name__ and not issubclass(kind, errors.ConfigurationError)
]


@pytest.mark.parametrize("kind", TOLD)
def test_every_error_has_its_status_and_all_four_keys(kind: type[errors.UndercroftError]) -> None:
    error = made(kind)
    status, _, detail = answered(error)
    assert status == error.status
    assert set(detail) == {"message", "type", "code", "param"}
    assert detail["code"] == error.code
    assert detail["type"] == error.kind


def test_message_hint_and_param_are_told() -> None:
    _, _, detail = answered(errors.InvalidRequest("Bad.", param="messages[0]", hint="Do better."))
    assert detail["message"] == "Bad. Do better."
    assert detail["param"] == "messages[0]"


def test_a_key_that_is_quoted_back_is_hidden_and_our_own_words_are_not() -> None:
    key = "sk-" + "a1" * 20
    hint = "Send 'Authorization: Bearer KEY', or type export ENCRYPTION_KEY=$(make one)."
    _, _, detail = answered(errors.InvalidRequest(f"There is no model '{key}'.", param=key, hint=hint))
    assert detail["message"] == f"There is no model '[REDACTED]'. {hint}"
    assert detail["param"] == "[REDACTED]"


@pytest.mark.parametrize(
    "error", [KeyError("secret"), RecursionError("secret"), errors.ConfigurationError("secret in file:12")]
)
def test_an_internal_error_tells_nothing_but_its_request(error: Exception) -> None:
    status, headers, detail = answered(error)
    assert status == 500
    assert "secret" not in json.dumps(detail)
    assert "req_1" in detail["message"]
    assert detail["code"] == "internal_error"
    assert "retry-after" not in headers


def test_a_wait_is_told_in_whole_seconds_rounded_up_and_in_milliseconds() -> None:
    _, headers, _ = answered(errors.RateLimited("Slow down.", retry_after_s=1.2))
    assert headers["retry-after"] == "2"
    assert headers["retry-after-ms"] == "1200"
    assert "x-should-retry" not in headers


@pytest.mark.parametrize("wait_s", [float("inf"), float("nan")])
def test_an_endless_wait_is_not_told(wait_s: float) -> None:
    assert "retry-after" not in answered(errors.RateLimited("Never.", retry_after_s=wait_s))[1]


def test_a_wait_in_the_past_is_zero() -> None:
    assert answered(errors.RateLimited("Now.", retry_after_s=-5))[1]["retry-after"] == "0"


@pytest.mark.parametrize(
    "error",
    [
        errors.BudgetSpent("Spent.", retry_after_s=86_400),
        errors.Conflict("Another body."),
        errors.UpstreamRefused("Our key.", upstream_status=401),
        errors.UpstreamRefused("Locked.", upstream_status=409),
        errors.UpstreamOverloaded("No quota.", code=QUOTA_SPENT),
    ],
)
def test_sdks_are_told_not_to_retry_what_no_retry_mends(error: errors.UndercroftError) -> None:
    assert answered(error)[1]["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "error",
    [
        errors.RateLimited("Slow down."),
        errors.Unavailable("Loading."),
        errors.UpstreamOverloaded("Busy."),
        errors.UpstreamTimedOut("Silent."),
        errors.InvalidRequest("Never retried anyway."),
    ],
)
def test_sdks_decide_for_themselves_otherwise(error: errors.UndercroftError) -> None:
    assert "x-should-retry" not in answered(error)[1]


def test_a_wrong_method_is_told_the_right_ones() -> None:
    assert answered(made(errors.MethodNotAllowed))[1]["allow"] == "GET, HEAD"


def test_a_missing_key_is_told_the_scheme() -> None:
    assert answered(errors.NotAuthenticated("Who?"))[1]["www-authenticate"] == "Bearer"


def test_a_broken_stream_ends_in_an_error_frame_without_done() -> None:
    frame = stream_error_frame(errors.UpstreamUnreachable("Gone."))
    assert frame.startswith(b"data: ")
    assert frame.endswith(b"\n\n")
    assert b"[DONE]" not in frame
    assert json.loads(frame[6:])["error"]["code"] == "upstream_unreachable"
