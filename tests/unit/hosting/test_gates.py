"""What takes the traffic back from a version, and what does not."""

from bisect import bisect_left

import pytest

from undercroft.api.figures import BOUNDS_S, Figures
from undercroft.hosting.gates import judge
from undercroft.hosting.types import Rollout

ROLLOUT = Rollout(max_error_rate=0.01, max_latency_factor=2.0, min_requests=20)


def did(answered: int, failed: int = 0, *, seconds: float = 0.01, begun: int | None = None, deaths: int = 0) -> Figures:
    latencies = [0] * (len(BOUNDS_S) + 1)
    latencies[bisect_left(BOUNDS_S, seconds)] = answered
    return Figures(
        begun=answered if begun is None else begun,
        answered=answered,
        failed=failed,
        latencies=tuple(latencies),
        deaths=deaths,
    )


@pytest.mark.parametrize(
    ("green", "blue"),
    [
        (did(0), did(1000)),
        (did(1000), did(1000)),
        (did(1000, 10), did(1000)),
        (did(1000, 200), did(1000, 200)),
        (did(19, 1), did(1000)),
        (did(4, 4), did(1000)),
        (did(1000, seconds=0.04), did(1000, seconds=0.001)),
        (did(1000, seconds=0.4), did(1000, seconds=0.3)),
        (did(50, seconds=3), did(50, seconds=0.3)),
        (did(10, begun=19), did(1000)),
        (did(10, begun=100), did(100, begun=1000)),
    ],
    ids=[
        "no traffic",
        "all well",
        "as many errors as allowed",
        "no more errors than the other has",
        "too few requests to tell",
        "far too few",
        "both fast",
        "a little slower",
        "too few answers to tell how long they take",
        "few without an answer",
        "the other has as many without an answer",
    ],
)
def test_it_keeps_the_traffic(green: Figures, blue: Figures) -> None:
    assert judge(green, blue, ROLLOUT) == ""


def test_how_long_answers_take_is_no_reason_before_a_step_is_over() -> None:
    slow, usual = did(1000, seconds=1), did(1000, seconds=0.3)

    assert judge(slow, usual, ROLLOUT, is_over=False) == ""
    assert "too long" in judge(slow, usual, ROLLOUT, is_over=True)


@pytest.mark.parametrize(
    ("green", "blue", "reason"),
    [
        (did(20, 1), did(1000), "1 of its 20 answers failed (5.0%"),
        (did(1000, 220), did(1000, 200), "220 of its 1000 answers failed (22.0%; the other version: 20.0%"),
        (did(5, 3), did(1000), "3 of its 5 answers failed"),
        (did(5, 5), did(0), "5 of its 5 answers failed"),
        (did(1000, seconds=1), did(1000, seconds=0.3), "take too long to begin"),
        (did(1000, deaths=1), did(1000), "1 of its processes died"),
        (did(2, begun=30), did(1000), "28 of its 30 requests have no answer yet"),
    ],
)
def test_it_loses_the_traffic_for_a_reason(green: Figures, blue: Figures, reason: str) -> None:
    assert reason in judge(green, blue, ROLLOUT)
