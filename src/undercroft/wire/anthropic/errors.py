"""Errors as Anthropic's clients read them: the envelope, and the event that ends a broken stream."""

from typing import Final, Literal

import msgspec

from undercroft.errors import UndercroftError, UpstreamOverloaded
from undercroft.wire.errors import headers_of, told

OVERLOADED: Final = 529
"""What Anthropic answers, and its SDKs know, when a model has too much to do."""

_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Any other status below 500 is the caller's mistake, any other from there on ours."""


class AnthropicErrorDetail(msgspec.Struct, kw_only=True):
    """What went wrong."""

    type: str
    message: str


class AnthropicErrorBody(msgspec.Struct, kw_only=True):
    """The body of every answer that is not a success."""

    type: Literal["error"] = "error"
    error: AnthropicErrorDetail
    request_id: str


_encode = msgspec.json.Encoder().encode


def envelope(error: BaseException, *, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, the headers this error calls for (beyond those of every answer), and the body."""
    status = _status(error)
    return status, headers_of(error, status), _body(error, status, request_id)


def stream_error_event(error: BaseException, *, request_id: str) -> bytes:
    """What a client reads when a stream that had begun breaks. No `message_stop` may follow."""
    return b"event: error\ndata: %b\n\n" % _body(error, _status(error), request_id)


def _status(error: BaseException) -> int:
    if isinstance(error, UpstreamOverloaded):
        return OVERLOADED
    return error.status if isinstance(error, UndercroftError) else UndercroftError.status


def _body(error: BaseException, status: int, request_id: str) -> bytes:
    kind = _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    message = told(error, request_id=request_id).message
    detail = AnthropicErrorDetail(type=kind, message=message)
    return _encode(AnthropicErrorBody(error=detail, request_id=request_id))
