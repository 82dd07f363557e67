"""How one version of the server does: what it was asked, what it answered, and how long that took to begin."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Final, Self

import msgspec

BOUNDS_S: Final = tuple(0.0005 * 1.25**step for step in range(60))
"""Upper bounds of the latency classes: from half a millisecond to five minutes, a quarter apart."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the start of a process, or the difference of two such."""

    begun: int = 0
    """Requests, without those whose client left before its answer began."""
    answered: int = 0
    """Those whose answer has begun."""
    failed: int = 0
    """Those that were answered with 5xx."""
    latencies: tuple[int, ...] = (0,) * (len(BOUNDS_S) + 1)
    """Answers by the time to their first byte, in the classes of BOUNDS_S; the last is beyond all."""
    connections: int = 0
    """Open ones, at this moment."""
    deaths: int = 0
    """Processes that ended though nobody had told them to."""

    def since(self, earlier: Self) -> "Figures":
        """What came between. A process that died took its counts along: nothing is ever negative."""
        return Figures(
            begun=max(self.begun - earlier.begun, 0),
            answered=max(self.answered - earlier.answered, 0),
            failed=max(self.failed - earlier.failed, 0),
            latencies=tuple(max(now - then, 0) for now, then in zip(self.latencies, earlier.latencies, strict=True)),
            connections=self.connections,
            deaths=max(self.deaths - earlier.deaths, 0),
        )

    def quantile_s(self, share: float) -> float:
        """The upper bound of the latency class that holds this share of the answers; 0 without any."""
        total = sum(self.latencies)
        if not total:
            return 0.0
        place = bisect_left(list(accumulate(self.latencies)), share * total)
        return BOUNDS_S[min(place, len(BOUNDS_S) - 1)]


def together(all_of: Iterable[Figures]) -> Figures:
    """The sum over processes."""
    known = tuple(all_of)
    return Figures(
        begun=sum(each.begun for each in known),
        answered=sum(each.answered for each in known),
        failed=sum(each.failed for each in known),
        latencies=tuple(map(sum, zip(*(each.latencies for each in known), strict=True))) or Figures().latencies,
        connections=sum(each.connections for each in known),
        deaths=sum(each.deaths for each in known),
    )


class Tally:
    """What a process counts as it goes."""

    def __init__(self) -> None:
        self._begun = self._answered = self._failed = 0
        self._latencies = [0] * (len(BOUNDS_S) + 1)

    def begin(self) -> None:
        """A request has come."""
        self._begun += 1

    def leave(self) -> None:
        """Its client has gone before the answer began."""
        self._begun -= 1

    def answer(self, status: int, seconds: float) -> None:
        """Its answer begins."""
        self._answered += 1
        self._failed += status >= 500
        self._latencies[bisect_left(BOUNDS_S, seconds)] += 1

    def figures(self, *, connections: int) -> Figures:
        return Figures(
            begun=self._begun,
            answered=self._answered,
            failed=self._failed,
            latencies=tuple(self._latencies),
            connections=connections,
        )
