"""When a prediction is right."""

import pytest

from undercroft.planning.verification.report import Line, line, report


def judged(predicted: list[float], measured: float, *, is_judged: bool = True) -> Line:
    return line(
        "gateway",
        "50%",
        "p95",
        "ms",
        predicted=predicted,
        runs=[measured],
        measured=measured,
        band=0.15,
        is_judged=is_judged,
    )


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


def test_only_judged_lines_decide() -> None:
    off = judged([200], 100, is_judged=False)

    assert report([judged([100], 100), off], band=0.15, calibrated=[], notes=[]).is_within
    assert not report([judged([200], 100)], band=0.15, calibrated=[], notes=[]).is_within
