"""A figure that is to be reached, beside what was measured of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.table import Table


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `value` is None where a run did not measure it."""

    name: str
    value: float | None
    unit: str
    must: float
    aim: float | None = None
    is_least: bool = True
    """Whether more is better; else the figure is a most."""

    @property
    def verdict(self) -> str:
        """`aim`, `must`, `missed` or `not measured`."""
        if self.value is None:
            return "not measured"
        if self.aim is not None and self._reaches(self.value, self.aim):
            return "aim"
        return "must" if self._reaches(self.value, self.must) else "missed"

    def _reaches(self, value: float, wanted: float) -> bool:
        return value >= wanted if self.is_least else value <= wanted


def at(found: Mapping[str, Any], *path: str) -> float | None:
    """A figure inside of others; None where it was not measured."""
    value: Any = found
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return None if value is None else float(value)


def ratio(one: float | None, other: float | None) -> float | None:
    """None where either was not measured."""
    return None if one is None or not other else one / other


def shown(goals: Sequence[Goal]) -> Table:
    """A row for each goal."""
    table = Table(title="goals")
    for column in ("measure", "value", "must", "aim", ""):
        table.add_column(column, justify="left" if column == "measure" else "right")
    for goal in goals:
        sign = "≥" if goal.is_least else "≤"
        value = "" if goal.value is None else f"{goal.value:.2f} {goal.unit}"
        table.add_row(
            goal.name, value, f"{sign} {goal.must:g}", "" if goal.aim is None else f"{goal.aim:g}", goal.verdict
        )
    return table


def written(goals: Sequence[Goal]) -> list[dict[str, Any]]:
    """As results keep them."""
    return [{**msgspec.to_builtins(goal), "verdict": goal.verdict} for goal in goals]
