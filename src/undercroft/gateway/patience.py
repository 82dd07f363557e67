"""Time limits on waits for a provider: one coarse timer for all, so that a call reads no clock and sets none."""

import asyncio
import math
from typing import Any, Final

TICK_S: Final = 0.1
_LINGERS_TICKS: Final = 50
"""How long the timer goes on with nothing to watch: a quiet server does not start it anew for each call."""


class Wait:
    """One task's wait. `is_over` once the limit has passed; the task has been cancelled then."""

    __slots__ = ("_cancelling", "is_over", "task", "ticks")

    def __init__(self, task: "asyncio.Task[Any]", ticks: int) -> None:
        self.task = task
        self.ticks = ticks
        self.is_over = False
        self._cancelling = task.cancelling()

    def was_the_reason(self) -> bool:
        """Asked when the task's wait was cancelled: by this limit, and by nobody else at the same time?"""
        return self.is_over and self.task.uncancel() <= self._cancelling


class Patience:
    """Cancels the waits that last too long.

    Counts ticks, not time: when this process itself stood still, what came meanwhile is seen before anybody is given
    up. A limit is kept to within two ticks.
    """

    def __init__(self) -> None:
        self._waits: set[Wait] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._idle_ticks = 0

    def begin(self, limit_s: float) -> Wait:
        """The current task begins to wait; `end` must follow."""
        task = asyncio.current_task()
        assert task is not None, "calls are made in tasks"
        wait = Wait(task, math.ceil(limit_s / TICK_S) + 1)
        self._waits.add(wait)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        return wait

    def end(self, wait: Wait) -> None:
        self._waits.discard(wait)

    def _tick(self) -> None:
        for wait in self._waits:
            wait.ticks -= 1
            if wait.ticks == 0:
                wait.is_over = True
                wait.task.cancel()
        self._idle_ticks = 0 if self._waits else self._idle_ticks + 1
        if self._idle_ticks >= _LINGERS_TICKS:
            self._idle_ticks = 0
            self._timer = None
        else:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
