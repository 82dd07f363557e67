"""Intervals and tests are those of scipy, computed here; values that stand here are those of statsmodels (0.15.0)."""

import random

import numpy as np
import pytest
from scipy import stats

from undercroft.evaluation.statistics import bootstrap, cases_needed, deviation_of, mcnemar, wilson


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.27753279986288926),
        (3, 10, 0.10779126740630104, 0.6032218525388546),
        (45, 50, 0.7863976856252034, 0.9565242350681095),
        (50, 50, 0.9286524008666412, 1.0),
        (512, 1000, 0.4810325544060909, 0.5428756033902558),
    ],
)
def test_wilsons_interval_is_that_of_statsmodels(hits: int, total: int, low: float, high: float) -> None:
    """`proportion_confint(hits, total, 0.05, "wilson")`."""
    found = wilson(hits, total)

    assert (found.value, found.low, found.high) == pytest.approx((hits / total, low, high), abs=1e-12)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [(0, 0, 1.0), (1, 5, 0.21875), (10, 3, 0.09228515625), (40, 20, 0.01348929373119186), (0, 8, 0.0078125)],
)
def test_mcnemars_p_value_is_that_of_statsmodels(only_first: int, only_second: int, p_value: float) -> None:
    """`mcnemar([[10, b], [c, 10]], exact=True)`."""
    assert mcnemar(only_first, only_second) == pytest.approx(p_value, abs=1e-12)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("total", [1, 2, 7, 30, 1000, 250_000])
def test_wilsons_interval_is_that_of_scipy(total: int, confidence: float) -> None:
    for hits in {0, 1, total // 3, total // 2, total - 1, total}:
        wanted = stats.binomtest(hits, total).proportion_ci(confidence, method="wilson")
        found = wilson(hits, total, confidence=confidence)
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12), hits


@pytest.mark.parametrize("discordant", [1, 2, 5, 20, 101, 500])
def test_mcnemars_p_value_is_that_of_scipys_binomial_test(discordant: int) -> None:
    for only_first in {0, 1, discordant // 4, discordant // 2, discordant}:
        wanted = stats.binomtest(only_first, discordant, 0.5).pvalue
        assert mcnemar(only_first, discordant - only_first) == pytest.approx(wanted, rel=1e-9), only_first


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("count", [5, 12, 60])
def test_the_bootstrap_is_that_of_scipy_up_to_its_own_noise(count: int, confidence: float) -> None:
    rng = random.Random(count)
    scores = [rng.random() for _ in range(count)]
    wanted = stats.bootstrap(
        (scores,), np.mean, n_resamples=20_000, confidence_level=confidence, method="percentile", rng=1
    ).confidence_interval
    found = bootstrap(scores, rng=rng, confidence=confidence, resamples=20_000)
    noise = 0.1 * (wanted.high - wanted.low)

    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=noise)


@pytest.mark.parametrize(("effect", "deviation"), [(0.1, 0.5), (0.05, 0.3), (0.02, 1.0), (1.0, 0.1)])
def test_with_as_many_cases_as_are_needed_the_power_is_what_was_wanted(effect: float, deviation: float) -> None:
    def power(cases: int) -> float:
        return float(stats.norm.sf(stats.norm.isf(0.025) - effect * cases**0.5 / deviation))

    needed = cases_needed(deviation, effect)
    assert power(needed) >= 0.8
    assert needed == 1 or power(needed - 1) < 0.8


@pytest.mark.parametrize(("effect", "deviation", "needed"), [(0.1, 0.5, 197), (0.05, 0.3, 283)])
def test_as_many_cases_are_needed_as_statsmodels_says(effect: float, deviation: float, needed: int) -> None:
    """`normal_sample_size_one_tail(effect, 0.8, 0.025, deviation)` gives 196.2 and 282.6."""
    assert cases_needed(deviation, effect) == needed


def test_where_nothing_differs_something_still_may() -> None:
    assert deviation_of([0.0] * 30) == pytest.approx(0.1**0.5)
    assert deviation_of([1.0, 0.0]) == pytest.approx(0.5**0.5)


def test_an_interval_of_a_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng, covered, runs = random.Random(3), 0, 200
    for _ in range(runs):
        found = bootstrap([rng.gauss(0.5, 0.1) for _ in range(40)], rng=rng, resamples=300)
        covered += found.low <= 0.5 <= found.high

    assert 0.88 <= covered / runs <= 0.99


def test_nothing_cannot_be_estimated() -> None:
    with pytest.raises(ValueError, match="at least one"):
        wilson(0, 0)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap([], rng=random.Random(1))
