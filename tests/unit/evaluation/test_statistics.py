"""Reference values are scipy's (1.17.1) and statsmodels' (0.15.0)."""

import random

import pytest

from undercroft.evaluation.statistics import bootstrap, cases_needed, deviation_of, mcnemar, wilson

SCORES = (0.9, 0.4, 0.7, 0.7, 1.0, 0.2, 0.55, 0.8, 0.95, 0.6, 0.1, 0.75)


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


def test_the_bootstrap_is_that_of_scipy_up_to_its_own_noise() -> None:
    """`scipy.stats.bootstrap((SCORES,), mean, n_resamples=200_000, method="percentile")` gives 0.4792 or 0.4750 to
    0.7833, by its seed."""
    found = bootstrap(SCORES, rng=random.Random(1), resamples=20_000)

    assert found.low == pytest.approx(0.477, abs=0.01)
    assert found.high == pytest.approx(0.783, abs=0.01)


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
