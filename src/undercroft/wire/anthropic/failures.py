"""What a refusal of Anthropic's means: an HTTP error, or an error event inside a stream that began well."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from undercroft.errors import UpstreamError, UpstreamGarbled, UpstreamOverloaded, UpstreamRefused
from undercroft.wire.errors import QUOTA_SPENT
from undercroft.wire.openai import failures

CONTEXT_EXCEEDED: Final = "context_length_exceeded"

_TOO_LONG = re.compile(r"prompt is too long|exceeds? (?:the )?context (?:limit|window)", re.IGNORECASE)
_NO_CREDIT = re.compile(r"credit balance is too low", re.IGNORECASE)
_LIMITS: Final = ("requests", "tokens", "input-tokens", "output-tokens")


def decode_error(status: int, headers: Mapping[str, str], body: bytes, *, now_us: int) -> UpstreamError:
    """The error an HTTP status other than 200 stands for. `headers` by lower-case name."""
    error = _specified(failures.decode_error(status, headers, body, now_us=now_us))
    if isinstance(error, UpstreamOverloaded) and error.retry_after_s is None:
        error.retry_after_s = _until_reset(headers, now_us)
    return error


def refused(data: bytes) -> UpstreamError:
    """The error that stands where a piece of the answer was expected, or that what stands there is no such piece."""
    try:
        told = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        what = "a web page" if data.lstrip()[:1] == b"<" else "something that is not JSON"
        return UpstreamGarbled(f"The provider sent {what} where a piece of its answer was expected.")
    if isinstance(told, dict) and (told.get("type") == "error" or told.get("error")):
        return _specified(failures.error_in_answer(told))
    return UpstreamGarbled("The provider sent JSON that is not in the format of its answers.")


def _specified(error: UpstreamError) -> UpstreamError:
    """Two refusals that Anthropic tells only in words."""
    if not isinstance(error, UpstreamRefused) or error.status != 400:
        return error
    if _NO_CREDIT.search(error.message):
        return UpstreamOverloaded(
            "The account with the provider has no credit left.", code=QUOTA_SPENT, upstream_status=error.upstream_status
        )
    if _TOO_LONG.search(error.message):
        return UpstreamRefused(error.message, upstream_status=400, code=CONTEXT_EXCEEDED, param="messages")
    return error


def _until_reset(headers: Mapping[str, str], now_us: int) -> float | None:
    """Seconds until the last of those limits is open again that have nothing left."""
    waits = []
    for limit in _LIMITS:
        if headers.get(f"anthropic-ratelimit-{limit}-remaining", "").strip() != "0":
            continue
        try:
            reset = datetime.fromisoformat(headers.get(f"anthropic-ratelimit-{limit}-reset", ""))
            waits.append(max(reset.timestamp() - now_us / 1_000_000, 0.0))
        except (ValueError, OverflowError):
            continue
    return max(waits, default=None)
