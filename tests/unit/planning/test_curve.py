"""The shape of a day."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.planning.bounds import OutOfRange
from undercroft.planning.curve import day_with_peak, peak_factor, shares, steepest_growth


@given(st.floats(1.0, 20.0))
def test_a_day_has_the_peak_that_was_asked_for(factor: float) -> None:
    day = day_with_peak(factor)

    assert sum(day) == pytest.approx(1)
    assert peak_factor(day) == pytest.approx(factor, rel=1e-6)
    assert max(day) == day[14]


def test_a_flat_day_does_not_grow() -> None:
    assert steepest_growth(shares([5] * 24)) == 0


def test_growth_is_the_steepest_step_over_the_peak() -> None:
    day = shares([1] * 12 + [3] * 12)

    assert steepest_growth(day) == pytest.approx((3 - 1) / 3 / 3600)


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        ([1.0] * 23, "curve has 23 values: it must have 24"),
        ([0.0] * 24, "curve is 0 in every hour"),
        ([1.0] * 23 + [-1.0], r"curve\[23\] is -1: it must be from 0"),
    ],
)
def test_a_curve_that_is_none_is_refused(weights: list[float], complaint: str) -> None:
    with pytest.raises(OutOfRange, match=complaint):
        shares(weights)
