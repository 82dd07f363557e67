"""Predicted beside measured, and whether the difference is within the band."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal

from msgspec import Struct

Unit = Literal["requests/s", "ms", "cores", "MB"]


class Line(Struct, frozen=True, kw_only=True):
    """One number. `low` and `high` are the predicted bracket, the same where there is none; medians of the runs."""

    workload: str
    load: str
    """Share of the predicted maximum, or `saturation`."""
    what: str
    unit: Unit
    low: float
    high: float
    measured: float
    runs: tuple[float, ...]
    """What each run measured."""
    errors: tuple[float, ...]
    """Of each run: predicted over measured, less 1, for the bracket's nearer end; 0 where the measurement lies inside.
    A run is compared with the prediction that was made right before it, since machines change their speed."""
    error: float
    """Their median."""
    is_judged: bool
    """Whether it must be within the band; the others are shown only."""
    is_within: bool


class Compared(Struct, frozen=True):
    """One number of one run."""

    load: str
    what: str
    unit: Unit
    predicted: tuple[float, ...]
    """One number, or the two ends of a bracket."""
    measured: float
    is_judged: bool = False

    @property
    def error(self) -> float:
        nearest = min(max(self.measured, min(self.predicted)), max(self.predicted))
        return nearest / self.measured - 1 if self.measured > 0 else math.inf


class Report(Struct, frozen=True, kw_only=True):
    """What `undercroft plan verify` prints."""

    lines: tuple[Line, ...]
    band: float
    is_within: bool
    calibrated: tuple[str, ...]
    """What was measured first."""
    notes: tuple[str, ...]
    """What may have disturbed the measurement."""


def lines_of(workload: str, runs: Sequence[Compared], *, band: float) -> list[Line]:
    """One for each number, in the order in which they came first."""
    by_number: dict[tuple[str, str], list[Compared]] = {}
    for each in runs:
        by_number.setdefault((each.load, each.what), []).append(each)
    return [_line(workload, each, band=band) for each in by_number.values()]


def _line(workload: str, runs: Sequence[Compared], *, band: float) -> Line:
    error = median(each.error for each in runs)
    return Line(
        workload=workload,
        load=runs[0].load,
        what=runs[0].what,
        unit=runs[0].unit,
        low=median(min(each.predicted) for each in runs),
        high=median(max(each.predicted) for each in runs),
        measured=median(each.measured for each in runs),
        runs=tuple(each.measured for each in runs),
        errors=tuple(each.error for each in runs),
        error=error,
        is_judged=runs[0].is_judged,
        is_within=abs(error) <= band,
    )


def report(lines: Sequence[Line], *, band: float, calibrated: Sequence[str], notes: Sequence[str]) -> Report:
    return Report(
        lines=tuple(lines),
        band=band,
        is_within=all(each.is_within for each in lines if each.is_judged),
        calibrated=tuple(calibrated),
        notes=tuple(notes),
    )
