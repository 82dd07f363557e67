"""How often a deployment may be asked again: an outage is not answered with a storm."""

from typing import Final

WINDOW_S: Final = 10
FREE_RETRIES: Final = 10
"""Retries in one window that the budget never forbids, so that a quiet server still retries."""
SHARE: Final = 0.1
"""Beyond those, retries may be this share of the window's calls."""


class RetryBudget:
    """Counts one deployment's calls and retries by the second (monotonic seconds come in)."""

    __slots__ = ("_calls", "_retries", "_second")

    def __init__(self) -> None:
        self._calls = [0] * WINDOW_S
        self._retries = [0] * WINDOW_S
        self._second = 0

    def called(self, now: float) -> None:
        """Books a call's first attempt at the deployment."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        self._calls[second % WINDOW_S] += 1

    def take(self, now: float) -> bool:
        """Books one retry if there is room for it."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        if sum(self._retries) >= max(FREE_RETRIES, SHARE * sum(self._calls)):
            return False
        self._retries[second % WINDOW_S] += 1
        return True

    def _turn(self, second: int) -> None:
        """Forgets the seconds that have left the window."""
        for passed in range(max(self._second + 1, second - WINDOW_S + 1), second + 1):
            self._calls[passed % WINDOW_S] = self._retries[passed % WINDOW_S] = 0
        self._second = second
