import random

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import betaln, xlog1py, xlogy

from undercroft.releases.sequences import interval


def test_nothing_seen_says_nothing() -> None:
    assert interval(0, 0, 0.01) == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (10, 10), (3, 10), (50, 1000), (999, 1000)])
def test_the_observed_rate_lies_inside(hits: int, total: int) -> None:
    low, high = interval(hits, total, 0.01)

    assert 0 <= low <= hits / total <= high <= 1


def test_more_calls_and_a_larger_risk_make_it_narrower() -> None:
    def width(hits: int, total: int, alpha: float) -> float:
        low, high = interval(hits, total, alpha)
        return high - low

    assert width(50, 500, 0.01) > width(500, 5000, 0.01) > width(500, 5000, 0.1)


@pytest.mark.parametrize("alpha", [0.3, 0.05, 1e-4])
@pytest.mark.parametrize(("hits", "total"), [(1, 3), (2, 10), (50, 1000), (999, 1000), (3, 200_000)])
def test_it_is_where_scipy_finds_the_mixtures_likelihood_to_be_too_great(hits: int, total: int, alpha: float) -> None:
    mixture = betaln(0.5 + hits, 0.5 + total - hits) - betaln(0.5, 0.5)

    def over(rate: float) -> float:
        return float(mixture - xlogy(hits, rate) - xlog1py(total - hits, -rate) + np.log(alpha))

    wanted = brentq(over, 1e-12, hits / total, xtol=1e-13), brentq(over, hits / total, 1 - 1e-12, xtol=1e-13)
    assert interval(hits, total, alpha) == pytest.approx(wanted, abs=1e-9)


def test_looking_after_every_call_still_misses_the_truth_no_more_often_than_promised() -> None:
    rng, alpha, runs, missed = random.Random(7), 0.1, 400, 0
    for _ in range(runs):
        hits = 0
        for total in range(1, 301):
            hits += rng.random() < 0.1
            low, high = interval(hits, total, alpha)
            if not low <= 0.1 <= high:
                missed += 1
                break

    assert missed / runs <= alpha
