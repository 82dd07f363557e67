"""Confidence sequences for a rate: intervals that hold at every moment at once, so that looking often costs nothing.

The beta-binomial mixture of Robbins ("Statistical methods related to the law of the iterated logarithm", Annals of
Mathematical Statistics 41, 1970); see also Howard, Ramdas, McAuliffe and Sekhon ("Time-uniform, nonparametric,
nonasymptotic confidence sequences", Annals of Statistics 49, 2021). For a true rate p the mixture likelihood ratio

    E_n(p) = B(a + k, b + n - k) / B(a, b) / (p^k (1 - p)^(n - k))

is a non-negative martingale with mean 1, so by Ville's inequality P(some n: E_n(p) >= 1/alpha) <= alpha. The interval
is every p with E_n(p) < 1/alpha. It is exact for every n, not an approximation for large ones.
"""

from collections.abc import Callable
from functools import lru_cache
from math import lgamma, log
from typing import Final

_A: Final = 0.5
_B: Final = 0.5
"""Jeffreys' prior: no rate is favoured."""
_HALVINGS: Final = 40


@lru_cache(maxsize=1024)
def interval(hits: int, total: int, alpha: float) -> tuple[float, float]:
    """Lower and upper bound of the rate behind `hits` of `total`. It fails at any time with probability <= `alpha`."""
    if not total:
        return 0.0, 1.0
    wanted = -log(alpha)
    mixture = _log_beta(_A + hits, _B + total - hits) - _log_beta(_A, _B)
    middle = hits / total

    def is_out(rate: float) -> bool:
        return mixture - _log_likelihood(hits, total, rate) >= wanted

    return _edge(0.0, middle, is_out), _edge(1.0, middle, is_out)


def _edge(outside: float, inside: float, is_out: Callable[[float], bool]) -> float:
    """Between a rate that may be out and one that is not; to the safe side of the last halving."""
    if not is_out(outside):
        return outside
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        if is_out(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _log_likelihood(hits: int, total: int, rate: float) -> float:
    misses = total - hits
    if (hits and rate <= 0) or (misses and rate >= 1):
        return float("-inf")
    return (hits * log(rate) if hits else 0.0) + (misses * log(1 - rate) if misses else 0.0)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
