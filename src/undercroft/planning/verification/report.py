"""Predicted beside measured, and whether the difference is within the band."""

import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Unit = Literal["requests/s", "ms", "cores", "MB"]


class Line(Struct, frozen=True, kw_only=True):
    """One number. `low` and `high` are the predicted bracket, the same where there is none."""

    workload: str
    load: str
    """Share of the predicted maximum, or `saturation`."""
    what: str
    unit: Unit
    low: float
    high: float
    measured: float
    runs: tuple[float, ...]
    """What each run measured; `measured` is over all of them."""
    error: float
    """Predicted over measured, less 1, for the bracket's nearer end; 0 where the measurement lies inside."""
    is_judged: bool
    """Whether it must be within the band; the others are shown only."""
    is_within: bool


class Report(Struct, frozen=True, kw_only=True):
    """What `undercroft plan verify` prints."""

    lines: tuple[Line, ...]
    band: float
    is_within: bool
    calibrated: tuple[str, ...]
    """What was measured first."""
    notes: tuple[str, ...]
    """What may have disturbed the measurement."""


def line(
    workload: str,
    load: str,
    what: str,
    unit: Unit,
    *,
    predicted: Sequence[float],
    runs: Sequence[float],
    measured: float,
    band: float,
    is_judged: bool,
) -> Line:
    """`predicted` is one number, or the two ends of a bracket."""
    low, high = min(predicted), max(predicted)
    nearest = min(max(measured, low), high)
    error = nearest / measured - 1 if measured > 0 else math.inf
    return Line(
        workload=workload,
        load=load,
        what=what,
        unit=unit,
        low=low,
        high=high,
        measured=measured,
        runs=tuple(runs),
        error=error,
        is_judged=is_judged,
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
