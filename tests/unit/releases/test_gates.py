import msgspec
import pytest

from undercroft.releases.gates import Observed, Tally, alpha_of, breach, limits_of, verdicts
from undercroft.releases.types import GATES, GateName, Plan, Step

PLAN = Plan(steps=(Step(share=0.05), Step(share=0.5)))


def seen(gate: GateName, stable: Tally, candidate: Tally) -> Observed:
    return Observed(calls=candidate.total, stable={gate: stable}, candidate={gate: candidate})


def test_a_rate_that_is_surely_worse_is_a_breach_and_says_so() -> None:
    verdict = breach(PLAN, seen("errors", Tally(5, 5000), Tally(60, 500)))

    assert verdict is not None
    assert verdict.gate == "errors"
    assert verdict.told.startswith("errors: at least ")
    assert "60 of 500 and 5 of 5000" in verdict.told
    assert msgspec.json.encode(verdict.as_evidence())


@pytest.mark.parametrize(
    ("stable", "candidate"),
    [
        pytest.param(Tally(5, 5000), Tally(3, 30), id="too few to tell"),
        pytest.param(Tally(500, 5000), Tally(50, 500), id="as bad as before"),
        pytest.param(Tally(500, 5000), Tally(0, 500), id="better"),
        pytest.param(Tally(0, 0), Tally(50, 500), id="nothing to compare with"),
        pytest.param(Tally(0, 100_000), Tally(800, 100_000), id="worse by less than the margin"),
    ],
)
def test_what_is_not_surely_worse_is_none(stable: Tally, candidate: Tally) -> None:
    observed = seen("errors", stable, candidate)

    assert breach(PLAN, observed) is None
    assert not any(verdict.breached for verdict in verdicts(PLAN, observed))


def test_the_short_way_and_the_long_way_agree() -> None:
    for bad in range(0, 200, 7):
        observed = seen("latency", Tally(40, 1000), Tally(bad, 200))
        assert (breach(PLAN, observed) is not None) == any(each.breached for each in verdicts(PLAN, observed))


def test_the_risk_is_shared_by_everything_that_is_tested() -> None:
    one = Plan(steps=(Step(share=0.5),), gates={"errors": GATES["errors"]}, false_alarm=0.01)

    assert alpha_of(one) == pytest.approx(0.005)
    assert alpha_of(PLAN) * 2 * len(PLAN.steps) * len(PLAN.gates) == pytest.approx(PLAN.false_alarm)


def test_a_limit_is_a_percentile_and_its_tolerance() -> None:
    assert limits_of(PLAN, {"latency": 1000, "cost": 8}) == {"latency": 1250, "cost": 10}
