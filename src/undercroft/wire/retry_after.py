"""How long a provider asks us to wait, in the many ways they say it."""

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

_DURATION = re.compile(
    r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_UNITS_S = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
_RATE_LIMITS = ("requests", "tokens")
_BODY_FIELDS = (("retry_after_ms", 0.001), ("retry_after", 1.0), ("retry_after_seconds", 1.0))
_IN_WORDS = re.compile(r"(?i)\b(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?(?:d|h|ms|m|s))+)")
"""As OpenAI and Groq say it: "Please try again in 7.66s", "… in 6m0s"."""
_YES_OR_NO = {"true": True, "false": False}


def retry_after_s(headers: Mapping[str, str], error: Any, *, now_us: int) -> float | None:
    """Seconds from now, never negative; None when the provider says nothing usable.

    `headers` by lower-case name; `error` is the object with the provider's message, or None. The first of:
    `retry-after-ms`, `retry-after` (seconds or an HTTP date), the body's own field, its words, and the reset of an
    OpenAI rate limit that has nothing left.
    """
    if (wait_ms := _number(headers.get("retry-after-ms"))) is not None:
        return wait_ms / 1000
    if (told := headers.get("retry-after")) is not None:
        wait_s = _number(told)
        if wait_s is None:
            wait_s = _until(told, now_us)
        if wait_s is not None:
            return wait_s
    wait_s = _from_body(error)
    return wait_s if wait_s is not None else _from_rate_limits(headers)


def duration_s(text: str) -> float | None:
    """`6m0s` -> 360.0, `12ms` -> 0.012."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        return None
    return _number(sum(float(amount) * unit for amount, unit in zip(found.groups(), _UNITS_S, strict=True) if amount))


def _number(value: object) -> float | None:
    """A finite, non-negative number of whatever unit."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _until(date: str, now_us: int) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)  # `-0000` and no zone both mean UTC in HTTP
        return max(moment.timestamp() - now_us / 1_000_000, 0.0)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _from_body(error: Any) -> float | None:
    if not isinstance(error, dict):
        return None
    for name, unit_s in _BODY_FIELDS:
        if (wait_s := _number(error.get(name))) is not None:
            return wait_s * unit_s
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(delay := detail.get("retryDelay"), str):  # Google's RetryInfo
            return duration_s(delay)
    message = error.get("message")
    said = _IN_WORDS.search(message) if isinstance(message, str) else None
    return duration_s(said[1]) if said else None


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """What the provider itself says of trying again; None when it says nothing."""
    return _YES_OR_NO.get(headers.get("x-should-retry", "").strip().lower())


def _from_rate_limits(headers: Mapping[str, str]) -> float | None:
    waits = [
        wait_s
        for limit in _RATE_LIMITS
        if headers.get(f"x-ratelimit-remaining-{limit}", "").strip() == "0"
        and (wait_s := duration_s(headers.get(f"x-ratelimit-reset-{limit}", ""))) is not None
    ]
    return max(waits, default=None)
