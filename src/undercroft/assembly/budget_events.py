"""Tells, once in each of its periods, that a budget is nearly, or wholly, used up."""

from collections.abc import Callable
from typing import Final

from undercroft.events.types import BudgetData, EventType, Fact
from undercroft.ledger.limits import Limit
from undercroft.ledger.slices import Window
from undercroft.money import format_usd

NEARLY: Final = 0.8
"""The part of a budget past which it is told of, what calls under way may still use included. A single call that asks
for more than is there of a budget that nobody has used is no news."""
REMEMBERED: Final = 10_000
"""What this process has told, so that the database is not asked each time."""


class BudgetTeller:
    """Hears from the allowances of this process. Rate limits are no budgets: nobody is told of those."""

    def __init__(self, tell_once: Callable[[Fact, str, int], None]) -> None:
        """`tell_once` takes an event, a mark that stands for it in all processes, and until when (microseconds)."""
        self._tell_once = tell_once
        self._told: set[tuple[str, str]] = set()

    def taken(self, limit: Limit, window: Window, amount: int, /) -> None:
        if limit.measure == "spend" and amount >= NEARLY * limit.amount:
            self._tell("budget.warning", limit, window, amount)

    def exhausted(self, limit: Limit, window: Window, amount: int, /) -> None:
        if limit.measure == "spend" and amount >= NEARLY * limit.amount:
            self._tell("budget.spent", limit, window, amount)

    def _tell(self, type: EventType, limit: Limit, window: Window, amount: int) -> None:
        mark = f"{type}|{window.name}|{window.id}"
        if (window.organisation, mark) in self._told:
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told.add((window.organisation, mark))
        _, scope, subject, model, _ = window.name.split("|", 4)
        data = BudgetData(
            id=":".join(filter(None, (scope, subject, model))),
            period=limit.period,
            spent_usd=format_usd(amount),
            limit_usd=format_usd(limit.amount),
        )
        self._tell_once(Fact(type, data, window.organisation), mark, window.ends_us)
