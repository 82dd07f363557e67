"""The limits that are written down, and which of them a call is counted in."""

from collections.abc import Iterable
from typing import Final

from undercroft.ledger.limits import Counting, Limit
from undercroft.record import Who

MOST_REMEMBERED: Final = 10_000
"""Callers and models whose limits are remembered; users are named by callers, so there must be an end."""


class LimitBook:
    """The rules of the configuration and the limits of keys, teams and users; either is replaced whole."""

    def __init__(self) -> None:
        self._rules: tuple[Limit, ...] = ()
        self._stored: tuple[Limit, ...] = ()
        self._of: dict[tuple[Who, str], Counting] = {}
        self.is_empty = True
        """Nothing is limited."""
        self.version = 0
        """Goes up with every change."""

    def follow(self, rules: Iterable[Limit]) -> None:
        """Takes the rules of a configuration that is put in force."""
        self._rules = tuple(rules)
        self._changed()

    def replace(self, stored: Iterable[Limit]) -> None:
        """Takes the limits as they stand in the database."""
        self._stored = tuple(stored)
        self._changed()

    @property
    def written(self) -> tuple[Limit, ...]:
        """All of them, those of the database first."""
        return (*self._stored, *self._rules)

    def counted(self, who: Who, model: str, /, *, at_us: int) -> Counting:
        """Every limit that a call of `who` for the public name `model` is counted in, and the window of each at that
        moment."""
        known = self._of.get((who, model))
        if known is None:
            if len(self._of) >= MOST_REMEMBERED:
                self._of.clear()
            limits = tuple(limit for limit in self.written if limit.applies(who, model))
            known = self._of[who, model] = Counting.at(limits, who, at_us)
        if known.since_us <= at_us < known.until_us:
            return known
        fresh = Counting.at(known.limits, who, at_us)
        if at_us >= known.until_us:  # else a call that began before another one did
            self._of[who, model] = fresh
        return fresh

    def _changed(self) -> None:
        self._of = {}
        self.version += 1
        self.is_empty = not self._rules and not self._stored
