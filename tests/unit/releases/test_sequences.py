import random

import pytest

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


def test_it_is_where_the_mixture_says() -> None:
    """Found with scipy 1.17.1: `brentq` over `betaln`, for 2 of 10 at alpha 0.05."""
    low, high = interval(2, 10, 0.05)

    assert low == pytest.approx(0.009393759766867717, abs=1e-9)
    assert high == pytest.approx(0.6575213915822037, abs=1e-9)


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
