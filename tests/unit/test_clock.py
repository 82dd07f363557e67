"""Times as they are written outside."""

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from undercroft.clock import beat, rfc3339

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


def test_all_who_beat_wake_at_once_whenever_they_began() -> None:
    clock = ManualClock()
    woken: list[tuple[str, float]] = []

    async def beating(name: str, every_s: float) -> None:
        await beat(clock, every_s)
        woken.append((name, round(clock.monotonic() - began, 2)))

    async def passed(count: int) -> None:
        for _ in range(count):
            clock.advance(0.001)
            await asyncio.sleep(0)

    async def scenario() -> None:
        tasks = []
        for name, every_s, later_ms in (("often", 0.5, 200), ("seldom", 1.0, 299), ("just missed", 0.5, 510)):
            tasks.append(asyncio.create_task(beating(name, every_s)))
            await asyncio.sleep(0)
            await passed(later_ms)
        await asyncio.gather(*tasks)

    began = clock.monotonic()
    asyncio.run(scenario())
    assert woken == [("often", 0.5), ("seldom", 1.0), ("just missed", 1.0)]
