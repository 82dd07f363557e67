"""Asks a deployment from time to time how it is, so that a broken one is known before a call runs into it."""

import random
from collections.abc import Awaitable, Callable
from typing import Final

from undercroft.clock import Clock
from undercroft.errors import Unavailable, UpstreamError

FAILURES_BEFORE_OUT: Final = 2
"""In a row: one may be chance."""
JITTER: Final = 0.1
"""Share of the interval by which it varies, so that not all processes ask at once."""


class Check:
    """One deployment's. `mark` is told of changes alone: the error that makes it unhealthy, or None."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[None]],
        mark: Callable[[UpstreamError | None], None],
        *,
        every_s: float,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._ask = ask
        self._mark = mark
        self._every_s = every_s
        self._clock = clock
        self._rng = rng
        self._failures = 0

    async def run(self) -> None:
        """Asks until it is cancelled."""
        while True:
            await self._clock.sleep(self._every_s * (1 + JITTER * (2 * self._rng.random() - 1)))
            await self.once()

    async def once(self) -> None:
        """Asks, and tells what has changed."""
        try:
            await self._ask()
        except UpstreamError as error:
            self._failures += 1
            if self._failures == FAILURES_BEFORE_OUT:
                self._mark(error)
        except Unavailable:
            pass  # our own trouble (no file descriptors, winding down) says nothing about the deployment
        else:
            if self._failures >= FAILURES_BEFORE_OUT:
                self._mark(None)
            self._failures = 0
