import math
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undercroft.wire.retry_after import duration_s, retry_after_s, should_retry

NOW_US = 1_790_000_000_000_000


def wait(headers: dict[str, str], error: Any = None) -> float | None:
    return retry_after_s(headers, error, now_us=NOW_US)


@pytest.mark.parametrize(
    ("headers", "error", "expected"),
    [
        ({}, None, None),
        ({"retry-after": "7"}, None, 7.0),
        ({"retry-after": " 1.5 "}, None, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, None, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, None, 7.0),
        ({"retry-after": "-3"}, None, None),
        ({"retry-after": "nan"}, None, None),
        ({"retry-after": "inf"}, None, None),
        ({"retry-after": "9" * 400}, None, None),
        ({"retry-after": "tomorrow"}, None, None),
        ({}, {"retry_after": 3}, 3.0),
        ({}, {"retry_after": True}, None),
        ({}, {"details": [{"@type": "x"}, {"retryDelay": "17s"}]}, 17.0),
        ({}, {"details": "none"}, None),
        ({"retry-after": "2"}, {"retry_after": 9}, 2.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, None, 360.0),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "6m0s"}, None, None),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "12ms",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "2s",
            },
            None,
            2.0,
        ),
    ],
)
def test_each_way_of_saying_it(headers: dict[str, str], error: Any, expected: float | None) -> None:
    assert wait(headers, error) == expected


@settings(deadline=None)
@given(st.integers(-100_000, 100_000))
def test_a_date_counts_from_now_and_never_back(seconds: int) -> None:
    date = format_datetime(datetime.fromtimestamp(NOW_US / 1_000_000 + seconds, UTC), usegmt=True)
    assert wait({"retry-after": date}) == max(seconds, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6m0s", 360.0),
        ("12ms", 0.012),
        ("1h2m3s", 3723.0),
        ("1.5s", 1.5),
        ("1d", 86_400.0),
        ("", None),
        ("5", None),
        ("s", None),
    ],
)
def test_durations(text: str, expected: float | None) -> None:
    assert duration_s(text) == expected


@settings(deadline=None, max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]),
        st.text(max_size=40)
        | st.sampled_from(["0", "1e999", "Wed, 99 Foo 2026 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"]),
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["retry_after", "details", "retryDelay"]), x),
    ),
)
def test_nonsense_is_no_wait_and_no_error(headers: dict[str, str], error: Any) -> None:
    told = wait(headers, error)
    assert told is None or (math.isfinite(told) and told >= 0)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"retry_after_ms": 1500}, 1.5),
        ({"retry_after_seconds": "4"}, 4.0),
        ({"message": "Rate limit reached for gpt-5. Please try again in 7.66s. Visit …"}, 7.66),
        ({"message": "Please try again in 6m0s."}, 360.0),
        ({"message": "Please try again in 20ms."}, 0.02),
        ({"message": "Please retry after 2h."}, 7200.0),
        ({"message": "Try again later."}, None),
        ({"message": "Do not try again in a hurry"}, None),
        ({"message": "try again in 5 parsecs"}, None),
        ({"message": ["try again in 5s"]}, None),
        ({"message": "try again in 5s", "retry_after": 2}, 2.0),
    ],
)
def test_the_body_may_tell_in_fields_or_in_words(error: Any, expected: float | None) -> None:
    assert wait({}, error) == expected


@pytest.mark.parametrize(("told", "expected"), [("true", True), (" False ", False), ("maybe", None), ("", None)])
def test_a_provider_may_say_whether_to_try_again(told: str, expected: bool | None) -> None:
    assert should_retry({"x-should-retry": told} if told else {}) is expected
