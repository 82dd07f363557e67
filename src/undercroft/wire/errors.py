"""The one place where errors become bytes: OpenAI's envelope, its headers, and the frame that ends a broken stream."""

import math
from typing import Final

import msgspec

from undercroft.errors import (
    ConfigurationError,
    MethodNotAllowed,
    NotAuthenticated,
    UndercroftError,
    UpstreamRefused,
)
from undercroft.wire.sse import frame

QUOTA_SPENT: Final = "upstream_quota_spent"
"""The operator's account with a provider is empty: another deployment may answer, the same call again will not."""

_RETRIED_BY_SDKS: Final = frozenset({408, 409, 429})
"""Besides every status from 500 up."""


class ErrorDetail(msgspec.Struct, kw_only=True):
    """What went wrong. All four keys are always there."""

    message: str
    type: str
    code: str | None
    param: str | None


class ErrorBody(msgspec.Struct, kw_only=True):
    """The body of every answer that is not a success."""

    error: ErrorDetail


_encode = msgspec.json.Encoder().encode


def envelope(error: BaseException, *, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, the headers this error calls for (beyond those of every answer), and the body."""
    status = error.status if isinstance(error, UndercroftError) else UndercroftError.status
    return status, _headers(error, status), _encode(ErrorBody(error=_detail(error, request_id)))


def stream_error_frame(error: BaseException, *, request_id: str = "") -> bytes:
    """What a client reads when a stream that had begun breaks. No `[DONE]` may follow."""
    return frame(_encode(ErrorBody(error=_detail(error, request_id))))


def _detail(error: BaseException, request_id: str) -> ErrorDetail:
    if not isinstance(error, UndercroftError) or isinstance(error, ConfigurationError):
        # Neither a bug's text nor a setting's value is the caller's business; the log has both under this id.
        named = f" (request {request_id})" if request_id else ""
        return ErrorDetail(
            message=f"The server could not answer: an internal error{named}.",
            type=UndercroftError.kind,
            code=UndercroftError.code,
            param=None,
        )
    return ErrorDetail(message=str(error), type=error.kind, code=error.code, param=error.param)


def _headers(error: BaseException, status: int) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = []
    if not isinstance(error, UndercroftError):
        return headers
    if (wait_s := error.retry_after_s) is not None and math.isfinite(wait_s):
        wait_s = max(wait_s, 0.0)
        headers.append((b"retry-after", b"%d" % math.ceil(wait_s)))
        headers.append((b"retry-after-ms", b"%d" % math.ceil(wait_s * 1000)))
    if not _is_worth_retrying(error) and (status >= 500 or status in _RETRIED_BY_SDKS):
        headers.append((b"x-should-retry", b"false"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode("ascii")))
    if isinstance(error, NotAuthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def _is_worth_retrying(error: UndercroftError) -> bool:
    """SDKs go by the status alone: a spent budget, a lasting conflict or our own rejected key must be told apart."""
    if isinstance(error, UpstreamRefused) or error.code == QUOTA_SPENT:
        return False
    return error.retryable
