"""A clock that only moves when told to."""

import asyncio
import heapq


class ManualClock:
    """Starts at 2026-01-01 UTC. `sleep` returns when `advance` has passed the moment."""

    def __init__(self, now_us: int = 1_767_225_600_000_000) -> None:
        self._now_us = now_us
        self._monotonic = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0

    def now_us(self) -> int:
        return self._now_us

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float, /) -> None:
        self._order += 1
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, self._order, woken))
        await woken

    @property
    def is_awaited(self) -> bool:
        """Somebody sleeps by it."""
        return any(not woken.done() for _, _, woken in self._sleepers)

    def advance(self, seconds: float) -> None:
        """Moves both clocks and wakes whoever is due."""
        self._monotonic += seconds
        self._now_us += round(seconds * 1_000_000)
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
