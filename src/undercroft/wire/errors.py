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
from undercroft.telemetry.redaction import Redactor
from undercroft.telemetry.shapes import KEYS
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
_shapes = Redactor(shapes=KEYS)
"""Our own words name headers and variables, so only what looks like a key is hidden."""


def envelope(error: BaseException, *, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, the headers this error calls for (beyond those of every answer), and the body."""
    status = error.status if isinstance(error, UndercroftError) else UndercroftError.status
    return status, headers_of(error, status), _encode(ErrorBody(error=told(error, request_id=request_id)))


def stream_error_frame(error: BaseException, *, request_id: str = "") -> bytes:
    """What a client reads when a stream that had begun breaks. No `[DONE]` may follow."""
    return frame(_encode(ErrorBody(error=told(error, request_id=request_id))))


def told(error: BaseException, *, request_id: str) -> ErrorDetail:
    """What a caller may know of an error."""
    if not isinstance(error, UndercroftError) or isinstance(error, ConfigurationError):
        # Neither a bug's text nor a setting's value is the caller's business; the log has both under this id.
        named = f" (request {request_id})" if request_id else ""
        return ErrorDetail(
            message=f"The server could not answer: an internal error{named}.",
            type=UndercroftError.kind,
            code=UndercroftError.code,
            param=None,
        )
    # What was sent to the wrong place is quoted: it may be a key.
    param = None if error.param is None else _shapes.text(error.param)
    return ErrorDetail(message=_shapes.text(str(error)), type=error.kind, code=error.code, param=param)


def headers_of(error: BaseException, status: int) -> list[tuple[bytes, bytes]]:
    """The headers an error calls for, whatever format its body has."""
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
