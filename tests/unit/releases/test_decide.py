import pytest
from msgspec.structs import replace

from undercroft.releases.decide import Command, after, decide, move_of
from undercroft.releases.gates import Observed, Tally
from undercroft.releases.types import MoveName, Plan, Rollout, State, Step, Thresholds

MINUTE_US = 60_000_000
FINE = Observed(calls=100, stable={"errors": Tally(0, 1000)}, candidate={"errors": Tally(0, 100)})
BAD = Observed(calls=500, stable={"errors": Tally(0, 5000)}, candidate={"errors": Tally(60, 500)})
ROLLOUT = Rollout(
    organisation="default",
    id="rollout_1",
    alias="chat",
    stable="rel_a",
    candidate="rel_b",
    plan=Plan(steps=(Step(share=0.1, bake_s=60), Step(share=0.5, bake_s=60))),
    thresholds=Thresholds(latency=1, since_us=1),
    step_us=0,
)


def move(rollout: Rollout, observed: Observed = FINE, *, now_us: int = MINUTE_US) -> MoveName | None:
    step = decide(rollout, observed, now_us=now_us)
    return step.move if step else None


def test_a_step_that_has_lasted_and_seen_enough_is_followed_by_the_next() -> None:
    assert move(ROLLOUT) == "advanced"
    assert move(replace(ROLLOUT, step=1)) == "promoted"


@pytest.mark.parametrize(
    ("rollout", "observed", "now_us"),
    [
        pytest.param(ROLLOUT, FINE, MINUTE_US - 1, id="it has not lasted long enough"),
        pytest.param(ROLLOUT, replace(FINE, calls=99), MINUTE_US, id="it has seen too few calls"),
        pytest.param(replace(ROLLOUT, thresholds=Thresholds()), FINE, MINUTE_US, id="nothing to compare with yet"),
        pytest.param(replace(ROLLOUT, state="paused"), BAD, MINUTE_US, id="it is paused"),
        pytest.param(replace(ROLLOUT, state="rolled_back"), FINE, MINUTE_US, id="it is over"),
    ],
)
def test_otherwise_it_waits(rollout: Rollout, observed: Observed, now_us: int) -> None:
    assert move(rollout, observed, now_us=now_us) is None


def test_a_breach_rolls_back_at_once_with_its_evidence() -> None:
    step = decide(ROLLOUT, BAD, now_us=1)

    assert step is not None
    assert step.move == "rolled_back"
    assert step.evidence["counts"]["candidate_bad"] == 60


def test_a_shadow_ends_without_a_promotion() -> None:
    plan = Plan(steps=(Step(mirror=1.0, bake_s=60),), promotes=False)

    assert move(replace(ROLLOUT, plan=plan)) == "finished"


def test_a_switch_without_baking_is_a_promotion() -> None:
    plan = Plan(steps=(Step(share=1.0, bake_s=0),))

    assert move(replace(ROLLOUT, plan=plan, thresholds=Thresholds()), Observed(), now_us=0) == "promoted"


def test_each_move_is_counted_so_that_two_cannot_be_made_of_one() -> None:
    advanced = after(ROLLOUT, "advanced", reason="", now_us=5)

    assert (advanced.step, advanced.step_us, advanced.revision) == (1, 5, 1)
    assert after(advanced, "promoted", reason="fine", now_us=6).state == "promoted"


@pytest.mark.parametrize(
    ("state", "command", "expected"),
    [
        ("running", "pause", "paused"),
        ("paused", "resume", "resumed"),
        ("paused", "promote", "promoted"),
        ("finished", "promote", "promoted"),
        ("running", "roll_back", "rolled_back"),
        ("rolled_back", "promote", None),
        ("promoted", "roll_back", None),
        ("running", "resume", None),
    ],
)
def test_a_person_may_move_it_at_any_step(state: State, command: Command, expected: MoveName | None) -> None:
    assert move_of(replace(ROLLOUT, state=state), command) == expected
