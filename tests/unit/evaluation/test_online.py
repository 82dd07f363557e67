import pytest

from tests.support.evaluation import Said, case
from undercroft.evaluation.check import Checks
from undercroft.evaluation.checks.built_in import BUILT_IN
from undercroft.evaluation.online import BOOKED_AFTER_S, DayPurse, Judged, judge
from undercroft.evaluation.types import Answer, CheckSpec

pytestmark = pytest.mark.anyio

ASKED = case("1", "Capital of France?", CheckSpec(kind="contains", value="Paris"), CheckSpec(kind="pii"))


async def judged(text: str, *, tools: Said | None = None, **spec: object) -> Judged | None:
    asked = ASKED if not spec else case("1", "?", *(CheckSpec(kind=kind, value=told) for kind, told in spec.items()))
    return await judge(asked, Answer(text=text), Checks(BUILT_IN).of(asked), tools or Said())


async def test_an_answer_passes_when_every_check_does() -> None:
    assert await judged("Paris.") == Judged(passed=True)
    assert await judged("Rome.") == Judged(passed=False, failed=("contains",))
    assert await judged("Rome, says ann@example.com") == Judged(passed=False, failed=("contains", "pii"))


async def test_what_a_judge_who_does_not_answer_would_have_said_is_not_known() -> None:
    with pytest.raises(Exception, match="did not answer"):
        await judged("x", tools=Said(), judge={"model": "j"})


def test_a_purse_lets_no_more_be_begun_than_the_day_allows() -> None:
    purse = DayPurse(100)
    begun = 0
    while purse.begin():
        begun += 1
        purse.end(30, now=0.0)

    assert begun == 3, "a fourth could make it 120"


def test_what_is_under_way_counts_as_the_dearest_so_far_and_the_first_goes_alone() -> None:
    purse = DayPurse(100)
    assert [purse.begin(), purse.begin()] == [True, False], "nobody knows yet what one costs"
    purse.end(40, now=0.0)
    assert [purse.begin(), purse.begin()] == [True, False], "two more could make it 120"


def test_checks_that_cost_nothing_go_on_for_ever() -> None:
    purse = DayPurse(1)
    for _ in range(100):
        assert purse.begin()
        purse.end(0, now=0.0)


def test_what_other_processes_have_spent_counts_and_nothing_is_forgotten_before_it_is_booked() -> None:
    purse = DayPurse(100)
    assert purse.begin()
    purse.end(40, now=0.0)
    purse.learn(40, now=1.0)
    assert not purse.begin(), "whether its own 40 are among the booked is not known yet"

    purse.learn(40, now=1.0 + BOOKED_AFTER_S)
    assert purse.begin()
    purse.end(0, now=2.0)
    purse.learn(100, now=2.0 + BOOKED_AFTER_S)
    assert not purse.begin()


def test_a_purse_of_nothing_allows_nothing() -> None:
    assert not DayPurse(0).begin()
