from pathlib import Path

import pytest

from tests.support.evaluation import Parrot, Said, case, suite
from undercroft.errors import InvalidRequest
from undercroft.evaluation.check import Checks
from undercroft.evaluation.checks.built_in import BUILT_IN
from undercroft.evaluation.runner import Runner
from undercroft.evaluation.store import AnswerStore
from undercroft.evaluation.types import CheckSpec

pytestmark = pytest.mark.anyio

CHECKS = Checks(BUILT_IN)
HELLO = CheckSpec(kind="contains", value="Hello")
JUDGE = CheckSpec(kind="judge", value={"model": "judge", "rubric": "Be kind."})
CASES = [case(str(number), f"Hello {number}", HELLO) for number in range(10)]


async def test_every_case_is_asked_as_often_as_the_suite_says() -> None:
    parrot, advanced = Parrot(), list[int]()

    run = await Runner(CHECKS, Said()).run(suite(*CASES, repeat=3), parrot, advance=advanced.append)

    assert (parrot.asked, len(run.trials), sum(advanced)) == (30, 30, 30)
    assert all(trial.passed for trial in run.trials)


async def test_no_more_are_asked_at_once_than_is_said() -> None:
    parrot = Parrot()

    await Runner(CHECKS, Said(), parallel=4).run(suite(*CASES), parrot)

    assert parrot.most_at_once == 4


async def test_a_second_run_asks_nobody_and_costs_nothing(tmp_path: Path) -> None:
    parrot, tools = Parrot(cost_nano=100), Said(judge=lambda _: "YES", cost_nano=7)
    wanted = suite(case("1", "Hello", HELLO, JUDGE))

    first = await Runner(CHECKS, tools, store=AnswerStore(tmp_path)).run(wanted, parrot)
    second = await Runner(CHECKS, tools, store=AnswerStore(tmp_path)).run(wanted, parrot)

    assert (first.spent_nano, second.spent_nano) == (107, 0)
    assert (parrot.asked, len(tools.heard)) == (1, 1)
    assert second.trials[0].cached
    assert second.trials[0].marks == first.trials[0].marks


async def test_another_check_judges_the_kept_answer_anew(tmp_path: Path) -> None:
    parrot, store = Parrot(), AnswerStore(tmp_path)
    await Runner(CHECKS, Said(), store=store).run(suite(case("1", "Hello", HELLO)), parrot)

    other = CheckSpec(kind="contains", value="Good-bye")
    run = await Runner(CHECKS, Said(), store=store).run(suite(case("1", "Hello", other)), parrot)

    assert parrot.asked == 1
    assert not run.trials[0].passed


async def test_a_failure_is_a_result_and_is_not_kept(tmp_path: Path) -> None:
    wanted, store = suite(case("1", "Hello", HELLO)), AnswerStore(tmp_path)

    failed = await Runner(CHECKS, Said(), store=store).run(wanted, Parrot(error="upstream_timeout: slow"))
    again = await Runner(CHECKS, Said(), store=store).run(wanted, Parrot())

    assert (failed.trials[0].passed, failed.trials[0].score) == (False, 0.0)
    assert again.trials[0].passed


@pytest.mark.parametrize("parallel", [1, 8])
async def test_the_cost_cap_is_never_passed(parallel: int) -> None:
    parrot = Parrot(cost_nano=100)

    run = await Runner(CHECKS, Said(), parallel=parallel, cap_nano=550).run(suite(*CASES), parrot)

    assert run.spent_nano == 500
    assert (len(run.trials), run.left_out) == (5, 5)


async def test_a_cap_of_nothing_asks_nobody() -> None:
    parrot = Parrot()

    run = await Runner(CHECKS, Said(), cap_nano=0).run(suite(*CASES), parrot)

    assert (parrot.asked, run.left_out) == (0, 10)


async def test_models_that_cost_nothing_run_in_parallel_under_a_cap() -> None:
    parrot = Parrot()

    run = await Runner(CHECKS, Said(), cap_nano=1).run(suite(*CASES), parrot)

    assert run.left_out == 0
    assert parrot.most_at_once > 1


async def test_a_judge_that_does_not_answer_is_told_and_not_kept(tmp_path: Path) -> None:
    wanted, store = suite(case("1", "Hello", JUDGE)), AnswerStore(tmp_path)

    silent = await Runner(CHECKS, Said(), store=store).run(wanted, Parrot())
    answered = await Runner(CHECKS, Said(judge=lambda _: "YES"), store=store).run(wanted, Parrot())

    assert "did not answer" in silent.trials[0].marks[0].note
    assert answered.trials[0].passed


async def test_a_check_that_cannot_be_made_is_refused_before_anything_is_asked() -> None:
    parrot = Parrot()

    bad = case("2", "Hello", CheckSpec(kind="regex", value="("))

    with pytest.raises(InvalidRequest, match="Case '2': regex"):
        await Runner(CHECKS, Said()).run(suite(case("1"), bad), parrot)
    assert parrot.asked == 0
