"""The rules of the autoscalers, as their makers state them."""

import pytest

from undercroft.planning.autoscale import Patience, wanted
from undercroft.planning.scenario import Autoscaler, Policy


@pytest.mark.parametrize(
    ("policy", "target", "seen", "count"),
    [
        ("cpu", 0.6, {"busy": 0.9}, 6),  # ceil(4 * 0.9 / 0.6)
        ("cpu", 0.6, {"busy": 0.62}, 4),  # within a tenth
        ("cpu", 0.6, {"busy": 0.1}, 1),
        ("queue", 5, {"queue": 26}, 6),
        ("queue", 5, {"queue": 0}, 1),
        ("concurrency", 10, {"under_way": 95}, 10),
        ("concurrency", 10, {"under_way": 5000}, 50),  # at most
        ("none", 1, {"busy": 1.0, "queue": 99}, 4),
    ],
)
def test_what_is_wanted(policy: Policy, target: float, seen: dict[str, float], count: int) -> None:
    given = {"busy": 0.0, "queue": 0, "under_way": 0} | seen

    assert wanted(Autoscaler(policy=policy, target=target, most=50), replicas=4, **given) == count  # type: ignore[arg-type]


def test_up_at_once_and_down_only_when_nothing_more_was_wanted_for_a_while() -> None:
    patience = Patience(300)

    assert patience.decide(0, 10, 4) == 10
    assert patience.decide(15, 3, 10) == 10
    assert patience.decide(290, 3, 10) == 10
    assert patience.decide(310, 3, 10) == 3
