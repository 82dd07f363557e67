"""What a spool has just written, while it is still at hand: whoever ships it need not read it back."""

from collections import deque
from typing import Final, NamedTuple

from undercroft.ledger.reader import START, Place
from undercroft.record import SpoolRecord

STRETCH: Final = 1024
"""Records of one stretch: they are booked in one transaction, for which other writes wait."""
MOST_STRETCHES: Final = 16
"""Those behind which the database has fallen further are read from the disk."""


class Stretch(NamedTuple):
    """Some records that follow one another, with the places before the first and behind the last."""

    start: Place
    end: Place
    records: list[SpoolRecord]


class Recent:
    """The end of one spool. Nothing depends on it: where it has a gap, the files are read."""

    def __init__(self) -> None:
        self.records: list[SpoolRecord] = []
        """Those of the stretch that is being written."""
        self._start = START
        self._sealed: deque[Stretch] = deque(maxlen=MOST_STRETCHES)

    def seal(self, end: Place) -> None:
        """Another stretch begins here."""
        self._sealed.append(Stretch(self._start, end, self.records))
        self._start, self.records = end, []

    def take(self, start: Place, end: Place) -> Stretch | None:
        """The stretch that begins at `start`, if it is at hand; `end` is where the spool ends now."""
        if not self._sealed and self.records:
            self.seal(end)
        while self._sealed and self._sealed[0].start < start:
            self._sealed.popleft()
        return self._sealed.popleft() if self._sealed and self._sealed[0].start == start else None

    def restart(self, end: Place) -> None:
        """All before the spool's end has been read: what comes now follows it."""
        self._sealed.clear()
        self._start, self.records = end, []
