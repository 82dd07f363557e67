"""How long the next message waits for company."""

from typing import Final

PACE_S: Final = 0.015
"""From one message to the next where jobs come one upon the other: several share a message, a claim and a commit."""
CLOSE_S: Final = 0.007
"""From one job to the next, on average, where that is so."""
FAR_S: Final = 0.03
"""What counts of a longer pause."""
ALONE: Final = 16
"""Messages that wait for nobody after one that waited and nobody came: whoever hands in a job when the last has run
is not to wait for himself."""


class Pace:
    """Decides from what came and what became of waiting. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._gap_s = FAR_S
        """From one job to the next, the latest counting most."""
        self._came_at = -FAR_S
        self._sent_at = -PACE_S
        self._alone = 0

    def came(self, now: float) -> None:
        """A job did."""
        self._gap_s += (min(now - self._came_at, FAR_S) - self._gap_s) / 4
        self._came_at = now

    def rest_s(self, now: float) -> float:
        """How long a message that is not full waits."""
        if self._alone or self._gap_s >= CLOSE_S:
            return 0.0
        return max(0.0, self._sent_at + PACE_S - now)

    def sent(self, now: float, *, has_waited: bool, count: int) -> None:
        """A message was, with so many ids."""
        self._sent_at = now
        if has_waited and count == 1:
            self._alone = ALONE
        elif self._alone:
            self._alone -= 1
