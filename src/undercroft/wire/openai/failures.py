"""What a provider's refusal means: an HTTP error, or an error object inside a stream that began well."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from undercroft.errors import (
    UpstreamError,
    UpstreamGarbled,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
)
from undercroft.wire.causes import known_cause
from undercroft.wire.errors import QUOTA_SPENT
from undercroft.wire.retry_after import retry_after_s, should_retry

_OUR_CREDENTIAL: Final = frozenset({401, 402, 403, 407})
_TIMED_OUT: Final = frozenset({408, 504})
_TRY_LATER: Final = frozenset({409, 423, 425, 429})
"""409 is what OpenAI answers while a lock is held."""

_MESSAGE_LENGTH: Final = 2000
_SECRET = re.compile(r"\b(?:sk|pk|rk|gsk|xai|hf|uc|AIza|Bearer)[-_ ]?[A-Za-z0-9_\-*.]{8,}")

_STATUS_OF_TYPE: Final = {
    "invalid_request_error": 400,
    "BadRequestError": 400,
    "not_found_error": 404,
    "NotFoundError": 404,
    "authentication_error": 401,
    "permission_error": 403,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "timeout": 504,
    "timeout_error": 504,
    "request_too_large": 413,
    "billing_error": 402,
    "overloaded_error": 529,
}
"""For errors inside a stream, which have no HTTP status; anything else counts as the provider's own failure."""


def decode_error(status: int, headers: Mapping[str, str], body: bytes, *, now_us: int) -> UpstreamError:
    """The error an HTTP status other than 200 stands for. `headers` by lower-case name."""
    told = _told(body)
    error = _error(
        status,
        told,
        message=_message(told) or _of_no_words(status, headers, body),
        wait_s=retry_after_s(headers, _detail(told), now_us=now_us),
    )
    if (told_to := should_retry(headers)) is not None:
        error.retryable = told_to
    return error


def error_in_answer(told: Any) -> UpstreamError:
    """The error an object stands for that came where a piece of the answer was expected."""
    detail = _detail(told)
    status = _status_in(detail)
    message = _message(told) or "The provider reported an error inside its answer."
    return _error(status, told, message=message, wait_s=retry_after_s({}, detail, now_us=0))


def _error(status: int, told: Any, *, message: str, wait_s: float | None) -> UpstreamError:
    detail = _detail(told)
    code, kind, param = (_text(detail.get(key)) for key in ("code", "type", "param"))
    if status in _OUR_CREDENTIAL:
        # The provider's own words may quote the key, and the caller cannot mend it anyway.
        return UpstreamRefused(
            f"The provider did not accept the credential that is configured for it (status {status}).",
            upstream_status=status,
            hint="The operator must set a valid api_key for this deployment.",
        )
    if status >= 500 and known_cause(code=code, kind=kind, message=""):
        status = 400  # inside a stream there is no status, and some send 500 for what the caller can mend
    if "insufficient_quota" in (code, kind):
        return UpstreamOverloaded(
            "The account with the provider has no quota left.",
            code=QUOTA_SPENT,
            retry_after_s=wait_s,
            upstream_status=status,
        )
    if status in _TIMED_OUT:
        return UpstreamTimedOut(message, retry_after_s=wait_s, upstream_status=status)
    if status in _TRY_LATER or status >= 500:
        return UpstreamOverloaded(message, retry_after_s=wait_s, upstream_status=status)
    if status >= 400:
        code = known_cause(code=code, kind=kind, message=message) or code
        return UpstreamRefused(message, upstream_status=status, code=code, kind=kind, param=param)
    return UpstreamGarbled(message, upstream_status=status)


def _told(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _detail(told: Any) -> dict[str, Any]:
    """The object with message and code: `{"error": {…}}`, `[{"error": {…}}]` (Google) or bare (older vLLM)."""
    if isinstance(told, list) and told:
        told = told[0]
    if not isinstance(told, dict):
        return {}
    inner = told.get("error")
    return inner if isinstance(inner, dict) else told


def _message(told: Any) -> str:
    detail = _detail(told)
    for words in (detail.get("message"), detail.get("error"), detail.get("detail"), told):
        if isinstance(words, str) and words.strip():
            shown = _SECRET.sub("[REDACTED]", words.strip())
            return shown if len(shown) <= _MESSAGE_LENGTH else f"{shown[:_MESSAGE_LENGTH]}…"
    if isinstance(problems := detail.get("detail"), list):  # FastAPI's own 422
        said = [f"{_place(p.get('loc'))}: {p.get('msg')}" for p in problems[:5] if isinstance(p, dict)]
        return _SECRET.sub("[REDACTED]", "; ".join(said))[:_MESSAGE_LENGTH]
    return ""


def _place(told: Any) -> str:
    return ".".join(map(str, told)) if isinstance(told, list) else str(told or "")


def _of_no_words(status: int, headers: Mapping[str, str], body: bytes) -> str:
    if not body.strip():
        what = "without a word"
    elif "html" in headers.get("content-type", "") or body.lstrip()[:1] == b"<":
        what = "with a web page: base_url may not be an API's address"
    else:
        what = "with something that is not JSON"
    return f"The provider answered with status {status}, {what}."


def _status_in(detail: dict[str, Any]) -> int:
    for key in ("status", "status_code", "code"):
        value = detail.get(key)
        if isinstance(value, str) and value.isdecimal() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
    for key in ("type", "code"):
        if isinstance(value := detail.get(key), str) and value in _STATUS_OF_TYPE:
            return _STATUS_OF_TYPE[value]
    return 500


def _text(value: object) -> str | None:
    """Codes are numbers with some providers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None
