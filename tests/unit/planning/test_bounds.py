"""Refusals that say what would do."""

import math

import pytest

from undercroft.planning.bounds import OutOfRange, bounded, one_of


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (0, "hours is 0: it must be from 1 to 24 h; the nearest is 1."),
        (-math.inf, "hours is -inf: it must be from 1 to 24 h; the nearest is 1."),
        (1e30, "hours is 1e+30: it must be from 1 to 24 h; the nearest is 24."),
        (math.nan, "hours is nan: it must be from 1 to 24 h."),
    ],
)
def test_a_number_out_of_range_is_told_with_its_limits_and_the_nearest(value: float, complaint: str) -> None:
    with pytest.raises(OutOfRange) as refused:
        bounded("hours", value, least=1, most=24, unit="h")
    assert refused.value.message == complaint
    assert refused.value.param == "hours"
    assert refused.value.status == 400


@pytest.mark.parametrize("value", [True, "3", None])
def test_what_is_no_number_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="hours must be a number"):
        bounded("hours", value, least=1, most=24)  # type: ignore[arg-type]


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(OutOfRange, match=r"^region 'us-eats-1' is not known; the nearest is 'us-east-1'"):
        one_of("region", "us-eats-1", ["us-east-1", "eu-west-1"])
