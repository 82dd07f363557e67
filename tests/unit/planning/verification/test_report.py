"""When a prediction is right."""

import pytest

from undercroft.planning.verification.report import Compared, Line, lines_of, report


def judged(predicted: list[float], *measured: float, is_judged: bool = True) -> Line:
    runs = [Compared("50%", "p95", "ms", tuple(predicted), each, is_judged) for each in measured]
    (found,) = lines_of("gateway", runs, band=0.15)
    return found


@pytest.mark.parametrize(
    ("predicted", "measured", "error", "is_within"),
    [
        ([100], 100, 0.0, True),
        ([114], 100, 0.14, True),
        ([116], 100, 0.16, False),
        ([84], 100, -0.16, False),
        ([50, 150], 100, 0.0, True),
        ([110, 150], 100, 0.1, True),
        ([50, 80], 100, -0.2, False),
    ],
)
def test_a_measurement_is_within_the_bracket_or_near_it(
    predicted: list[float], measured: float, error: float, is_within: bool
) -> None:
    found = judged(predicted, measured)

    assert found.error == pytest.approx(error)
    assert found.is_within is is_within


def test_what_was_not_measured_is_not_within() -> None:
    assert not judged([100], 0).is_within


def test_the_run_in_the_middle_decides_and_each_is_shown() -> None:
    found = judged([100], 100, 40, 110)

    assert (found.measured, found.runs) == (100, (100, 40, 110))
    assert found.errors == pytest.approx((0.0, 1.5, -1 / 11))
    assert (found.error, found.is_within) == (0.0, True)


def test_each_number_has_its_line_in_the_order_in_which_they_came() -> None:
    run = [Compared("saturation", "throughput", "requests/s", (10.0,), 9.0), Compared("30%", "p50", "ms", (1.0,), 1.0)]

    assert [(each.load, each.what) for each in lines_of("local", run * 2, band=0.15)] == [
        ("saturation", "throughput"),
        ("30%", "p50"),
    ]


def test_only_judged_lines_decide() -> None:
    off = judged([200], 100, is_judged=False)

    assert report([judged([100], 100), off], band=0.15, calibrated=[], notes=[]).is_within
    assert not report([judged([200], 100)], band=0.15, calibrated=[], notes=[]).is_within
