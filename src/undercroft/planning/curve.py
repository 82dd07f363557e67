"""How a day's requests are spread over its hours."""

import math
from collections.abc import Sequence

from undercroft.planning.bounds import OutOfRange, bounded

HOURS = 24
BUSIEST_HOUR = 14


def day_with_peak(factor: float) -> tuple[float, ...]:
    """Shares of a day's requests by hour (they sum to 1) whose busiest hour has `factor` times the mean.

    One smooth wave with its crest at BUSIEST_HOUR, proportional to exp(k cos); k follows from the factor.
    """
    bounded("peak_factor", factor, least=1, most=HOURS)
    low, high = 0.0, 1000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if max(_wave(middle)) * HOURS < factor else (low, middle)
    return _wave(high)


def _wave(sharpness: float) -> tuple[float, ...]:
    angles = [2 * math.pi * (hour - BUSIEST_HOUR) / HOURS for hour in range(HOURS)]
    return shares([math.exp(sharpness * (math.cos(angle) - 1)) for angle in angles])


def shares(weights: Sequence[float]) -> tuple[float, ...]:
    """24 hourly weights as shares that sum to 1. Raises OutOfRange."""
    if len(weights) != HOURS:
        raise OutOfRange(f"curve has {len(weights)} values: it must have {HOURS}, one an hour.", param="curve")
    for hour, weight in enumerate(weights):
        bounded(f"curve[{hour}]", weight, least=0, most=1e15)
    total = sum(weights)
    if total <= 0:
        raise OutOfRange("curve is 0 in every hour: at least one must be above.", param="curve")
    return tuple(weight / total for weight in weights)


def peak_factor(curve: Sequence[float]) -> float:
    """The busiest hour as a multiple of the mean one."""
    return max(curve) * HOURS


def steepest_growth(curve: Sequence[float]) -> float:
    """The fastest growth from one hour's middle to the next, per second, as a share of the busiest hour's rate."""
    steps = [curve[(hour + 1) % HOURS] - curve[hour] for hour in range(HOURS)]
    return max(0.0, *steps) / max(curve) / 3600
