import random

from tests.support.evaluation import run_of
from undercroft.evaluation.compare import compare, summary_of


def passed(count: int, of: int, *, start: int = 0) -> dict[str, list[bool]]:
    """Cases of which those from `start` on are passed, `count` of them."""
    return {str(number): [start <= number < start + count] for number in range(of)}


def test_a_second_that_passes_what_the_first_does_not_is_better() -> None:
    found = compare(run_of("a", passed(20, 50)), run_of("b", passed(45, 50)))

    assert found.verdict == "better"
    assert (found.only_first, found.only_second, found.more_cases) == (0, 25, 0)
    assert found.p_value is not None
    assert found.p_value < 0.001
    assert found.told.startswith("better: +50.0%")


def test_a_second_that_fails_what_the_first_passes_is_worse() -> None:
    assert compare(run_of("a", passed(45, 50)), run_of("b", passed(20, 50))).verdict == "worse"


def test_where_it_cannot_be_told_it_says_how_many_more_cases_would_tell() -> None:
    found = compare(run_of("a", passed(5, 10)), run_of("b", passed(6, 10)))

    assert found.verdict == "cannot tell"
    assert found.more_cases > 100
    assert f"need {found.more_cases} more cases" in found.told


def test_only_cases_that_both_have_are_compared() -> None:
    first, second = {"a": [True], "b": [True]}, {"b": [False], "c": [True]}

    assert compare(run_of("1", first), run_of("2", second)).cases == 1


def test_repeats_of_a_case_are_no_cases_of_their_own() -> None:
    once = summary_of(run_of("a", {"1": [True], "2": [False], "3": [True]}))
    often = summary_of(run_of("a", {"1": [True] * 50, "2": [False] * 50, "3": [True] * 50}))

    assert often.trials == 150
    assert often.rate.high - often.rate.low > 0.5, "three cases say little, however often they are asked"
    assert once.rate.value == often.rate.value


def test_uneven_repeats_are_decided_by_the_interval_alone() -> None:
    first = {str(number): [True, False] for number in range(30)}
    second = {str(number): [True, True] for number in range(30)}

    found = compare(run_of("a", first), run_of("b", second))

    assert (found.verdict, found.p_value) == ("better", None)


def test_the_same_results_give_the_same_numbers_each_time() -> None:
    runs = run_of("a", passed(20, 50)), run_of("b", passed(25, 50, start=3))

    assert compare(*runs) == compare(*runs)


def test_two_that_are_the_same_are_rarely_told_apart() -> None:
    rng, verdicts = random.Random(5), []
    for _ in range(60):
        first = {str(number): [rng.random() < 0.7] for number in range(40)}
        second = {str(number): [rng.random() < 0.7] for number in range(40)}
        verdicts.append(compare(run_of("a", first), run_of("b", second)).verdict)

    assert sum(verdict != "cannot tell" for verdict in verdicts) <= 6
