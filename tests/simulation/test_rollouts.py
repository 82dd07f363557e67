"""What canaries come to: the product's own decisions over simulated users, on virtual time."""

import os
import statistics

import pytest

from tests.support.rollout_world import STABLE, Behaviour, World
from undercroft.releases.types import Plan, Step

RUNS = int(os.environ.get("UNDERCROFT_ROLLOUT_RUNS", "50"))
IDENTICAL_RUNS = int(os.environ.get("UNDERCROFT_IDENTICAL_ROLLOUTS", "1000"))


@pytest.mark.parametrize(
    ("candidate", "gate"),
    [
        pytest.param(Behaviour(failing=0.05), "errors", id="fails 5 % of its calls"),
        pytest.param(Behaviour(latency_us=2 * STABLE.latency_us), "latency", id="is twice as slow"),
        pytest.param(Behaviour(cost_nano=3 * STABLE.cost_nano), "cost", id="costs three times as much"),
    ],
)
def test_a_worse_candidate_rolls_back_by_itself(candidate: Behaviour, gate: str) -> None:
    outcomes = [World(candidate, seed).run() for seed in range(RUNS)]

    affected = [outcome.affected for outcome in outcomes]
    print(
        f"\n{gate}: {RUNS} rollouts rolled back after {statistics.median(each.seconds for each in outcomes):.0f} s "
        f"(median, at most {max(each.seconds for each in outcomes)} s); users who saw the candidate: "
        f"{statistics.median(affected):.1%} (median), at most {max(affected):.1%}"
    )
    assert [outcome.move for outcome in outcomes] == ["rolled_back"] * RUNS
    assert {outcome.reason.partition(":")[0] for outcome in outcomes} == {gate}


def test_a_good_candidate_is_promoted() -> None:
    better = Behaviour(failing=0.001, latency_us=0.9 * STABLE.latency_us)

    outcomes = [World(better, seed).run() for seed in range(RUNS)]

    assert [outcome.move for outcome in outcomes] == ["promoted"] * RUNS


def test_an_identical_candidate_is_hardly_ever_rolled_back() -> None:
    plan = Plan(steps=tuple(Step(share=share, bake_s=30) for share in (0.05, 0.25, 0.5)), least_calls=100)

    outcomes = [World(STABLE, seed, plan=plan).run() for seed in range(IDENTICAL_RUNS)]

    false_alarms = sum(outcome.move == "rolled_back" for outcome in outcomes)
    print(f"\n{false_alarms} of {IDENTICAL_RUNS} rollouts of an identical candidate were rolled back")
    assert false_alarms <= IDENTICAL_RUNS * 0.01
    assert sum(outcome.move == "promoted" for outcome in outcomes) == IDENTICAL_RUNS - false_alarms
