"""Time as an argument: the system's in production, a hand-moved one in tests, a virtual one in the simulator."""

import asyncio
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """Wall time for what is stored, monotonic time for durations. Nothing else in the product asks the system."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float, /) -> None: ...


class SystemClock:
    """The machine's own clocks."""

    monotonic = staticmethod(time.monotonic)  # itself: a call of it in a method would take five times as long

    def now_us(self) -> int:
        return time.time_ns() // 1000

    async def sleep(self, seconds: float, /) -> None:
        await asyncio.sleep(seconds)


async def beat(clock: Clock, every_s: float) -> None:
    """Sleeps until the clock's next multiple of that. Whoever looks now and then and has no moment of his own does it
    so: an idle process wakes up once for all of them."""
    left_s = every_s - clock.monotonic() % every_s
    # A loop's timers come up to a millisecond early: that was the beat then, and is not to come again.
    await clock.sleep(left_s if left_s > every_s / 50 else left_s + every_s)


def rfc3339(moment_us: int) -> str:
    """`2026-08-21T10:00:00.123456Z`, the form of every time outside (except where a wire format says Unix seconds)."""
    second, rest_us = divmod(moment_us, 1_000_000)
    return f"{_second(second)}.{rest_us:06d}Z"


@lru_cache(maxsize=64)  # log lines come thousands to the second
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().removesuffix("+00:00")
