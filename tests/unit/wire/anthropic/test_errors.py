"""Errors in Anthropic's envelope."""

import msgspec
import pytest

from undercroft.errors import (
    BudgetSpent,
    Conflict,
    InvalidRequest,
    ModelNotFound,
    NotAllowed,
    NotAuthenticated,
    RateLimited,
    TooLarge,
    Unavailable,
    UpstreamGarbled,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
)
from undercroft.wire.anthropic.errors import envelope, stream_error_event


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequest("x"), 400, "invalid_request_error"),
        (NotAuthenticated("x"), 401, "authentication_error"),
        (NotAllowed("x"), 403, "permission_error"),
        (ModelNotFound("x"), 404, "not_found_error"),
        (Conflict("x"), 409, "conflict_error"),
        (TooLarge("x"), 413, "request_too_large"),
        (UpstreamRefused("x", upstream_status=422), 422, "invalid_request_error"),
        (UpstreamRefused("x", upstream_status=401), 502, "api_error"),
        (RateLimited("x"), 429, "rate_limit_error"),
        (BudgetSpent("x"), 429, "rate_limit_error"),
        (UpstreamGarbled("x"), 502, "api_error"),
        (Unavailable("x"), 503, "overloaded_error"),
        (UpstreamTimedOut("x"), 504, "timeout_error"),
        (UpstreamOverloaded("x"), 529, "overloaded_error"),
        (RuntimeError("a secret"), 500, "api_error"),
    ],
)
def test_each_error_has_anthropics_status_and_type(error: Exception, status: int, kind: str) -> None:
    told_status, _, body = envelope(error, request_id="req_1")
    told = msgspec.json.decode(body)
    assert told_status == status
    assert set(told) == {"type", "error", "request_id"}
    assert set(told["error"]) == {"type", "message"}
    assert (told["type"], told["error"]["type"], told["request_id"]) == ("error", kind, "req_1")
    assert "secret" not in told["error"]["message"]
    event = stream_error_event(error, request_id="req_1")
    assert event == b"event: error\ndata: " + body + b"\n\n"


def test_how_long_to_wait_and_whether_to_try_again_stand_in_headers() -> None:
    _, headers, _ = envelope(UpstreamOverloaded("x", retry_after_s=0.5), request_id="req_1")
    assert dict(headers) == {b"retry-after": b"1", b"retry-after-ms": b"500"}
    _, headers, _ = envelope(BudgetSpent("x"), request_id="req_1")
    assert dict(headers) == {b"x-should-retry": b"false"}
