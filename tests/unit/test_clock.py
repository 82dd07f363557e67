"""Times as they are written outside."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from undercroft.clock import rfc3339

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def test_a_moment_is_written_to_the_microsecond_in_utc() -> None:
    assert rfc3339(1_787_306_400_123_456) == "2026-08-21T10:00:00.123456Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"


@given(st.integers((EARLIEST - EPOCH) // timedelta(microseconds=1), (LATEST - EPOCH) // timedelta(microseconds=1)))
def test_what_is_written_is_the_moment_exactly(moment_us: int) -> None:
    written = rfc3339(moment_us)
    assert len(written) == 27
    assert datetime.fromisoformat(written) == EPOCH + timedelta(microseconds=moment_us)
