"""What results are worth: intervals and tests, in plain Python.

Wilson's interval: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
McNemar's exact test: Q. McNemar, Psychometrika 12 (1947), with the binomial distribution of the discordant pairs.
Bootstrap: B. Efron and R. Tibshirani, "An Introduction to the Bootstrap" (1993), percentile intervals.
"""

import math
import random
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev
from typing import Final

import msgspec

RESAMPLES: Final = 2000
POWER: Final = 0.8
"""Probability of seeing an effect that is there, when cases are counted for it."""
_NORMAL: Final = NormalDist()


class Interval(msgspec.Struct, frozen=True):
    """An estimate with its confidence interval."""

    value: float
    low: float
    high: float


def wilson(hits: int, total: int, *, confidence: float = 0.95) -> Interval:
    """A rate, from independent cases. Raises ValueError without cases."""
    if total <= 0:
        raise ValueError("a rate needs at least one case")
    z = _NORMAL.inv_cdf((1 + confidence) / 2)
    rate, square = hits / total, z * z
    middle = (rate + square / (2 * total)) / (1 + square / total)
    half = z / (1 + square / total) * math.sqrt(rate * (1 - rate) / total + square / (4 * total * total))
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return Interval(rate, low, 1.0 if hits == total else min(1.0, middle + half))


def bootstrap(
    values: Sequence[float], *, rng: random.Random, confidence: float = 0.95, resamples: int = RESAMPLES
) -> Interval:
    """A mean, by resampling whole cases: repeats of one case are no cases of their own. Raises ValueError without
    cases."""
    if not values:
        raise ValueError("a mean needs at least one case")
    count = len(values)
    means = sorted(fmean(rng.choices(values, k=count)) for _ in range(resamples))
    return Interval(fmean(values), _quantile(means, (1 - confidence) / 2), _quantile(means, (1 + confidence) / 2))


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p value: how likely so uneven a split of the cases that only one of two has passed would be, if
    both were equally good."""
    discordant = only_first + only_second
    if not discordant:
        return 1.0
    fewer = min(only_first, only_second)
    tail = sum(math.comb(discordant, count) for count in range(fewer + 1)) / 2**discordant
    return float(min(1.0, 2 * tail))


def cases_needed(deviation: float, effect: float, *, confidence: float = 0.95, power: float = POWER) -> int:
    """How many paired cases show a mean difference of `effect`, where single differences scatter by `deviation`."""
    z = _NORMAL.inv_cdf((1 + confidence) / 2) + _NORMAL.inv_cdf(power)
    return math.ceil((z * deviation / effect) ** 2)


def deviation_of(differences: Sequence[float]) -> float:
    """Standard deviation; of fewer than two, or where nothing differs, what three unseen differences in as many cases
    could still make of it (the rule of three)."""
    count = len(differences)
    seen = stdev(differences) if count > 1 else 0.0
    return max(seen, math.sqrt(min(1.0, 3 / max(count, 1)))) if seen == 0 else seen


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between the two nearest."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
