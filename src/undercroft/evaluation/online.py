"""Judging live answers: what is looked at, and what is said of it."""

from collections.abc import Sequence
from typing import Final

import msgspec

from undercroft.evaluation.check import Check, Tools
from undercroft.evaluation.types import Answer, Case, Mark

BOOKED_AFTER_S: Final = 10.0
"""By then a call that has ended is in the ledger; usually it takes one."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks say of one answer."""

    passed: bool
    failed: tuple[str, ...] = ()
    """The checks that it did not pass."""


async def judge(case: Case, answer: Answer, checks: Sequence[Check], tools: Tools) -> Judged | None:
    """An answer passes when every check does. None: one of them could not be made, so nothing is known. Raises
    UndercroftError kinds."""
    marks: list[Mark] = []
    for check in checks:
        mark = await check.mark(case, answer, tools)
        if mark.failed:
            return None
        marks.append(mark)
    failed = tuple(mark.check for mark in marks if not mark.passed)
    return Judged(passed=not failed, failed=failed)


class DayPurse:
    """Lets no more be begun in a UTC day than a cap allows, by the dearest so far; the first goes alone.

    The ledger says what all processes have spent; what was spent here is counted beside it until it is surely in there.
    So several processes together go over the cap by no more than they spend in those seconds.
    """

    def __init__(self, cap_nano: int) -> None:
        self._cap_nano = cap_nano
        self._booked_nano = 0
        self._fresh: list[tuple[float, int]] = []
        self._dearest_nano: int | None = None
        self._under_way = 0

    def learn(self, booked_nano: int, *, now: float) -> None:
        """The ledger was asked, at `now` in monotonic seconds."""
        self._booked_nano = booked_nano
        self._fresh = [each for each in self._fresh if each[0] > now - BOOKED_AFTER_S]

    def begin(self) -> bool:
        """Whether one more may be begun; if so, it is, and `end` is to be called."""
        may = self._fits()
        self._under_way += may
        return may

    def _fits(self) -> bool:
        spent_nano = self._booked_nano + sum(cost for _, cost in self._fresh)
        if spent_nano >= self._cap_nano:
            return False
        if self._dearest_nano is None:
            return not self._under_way
        return spent_nano + self._dearest_nano * (self._under_way + 1) <= self._cap_nano

    def end(self, cost_nano: int, *, now: float) -> None:
        """What was begun has cost this."""
        self._under_way -= 1
        self._dearest_nano = max(self._dearest_nano or 0, cost_nano)
        if cost_nano:
            self._fresh.append((now, cost_nano))
