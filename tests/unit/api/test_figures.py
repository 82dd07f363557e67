"""Counting answers, and what came between two counts."""

from hypothesis import given
from hypothesis import strategies as st

from undercroft.api.figures import BOUNDS_S, Figures, Tally, together


def tally(*answers: tuple[int, float]) -> Tally:
    made = Tally()
    for status, seconds in answers:
        made.begin()
        made.answer(status, seconds)
    return made


def test_answers_with_5xx_have_failed() -> None:
    figures = tally((200, 0.1), (404, 0.1), (500, 0.1), (503, 0.1)).figures(connections=3)

    assert (figures.begun, figures.answered, figures.failed, figures.connections) == (4, 4, 2, 3)


def test_who_left_before_an_answer_does_not_count_as_unanswered() -> None:
    made = tally((200, 0.1))
    made.begin()
    made.leave()

    assert made.figures(connections=0).begun == 1


def test_a_quantile_is_the_bound_of_its_class() -> None:
    figures = tally(*[(200, 0.010)] * 95, *[(200, 1.0)] * 5).figures(connections=0)

    assert 0.010 <= figures.quantile_s(0.95) <= 0.0125
    assert 1.0 <= figures.quantile_s(0.96) <= 1.25
    assert Figures().quantile_s(0.95) == 0


@given(st.lists(st.floats(min_value=0, max_value=10_000)))
def test_every_answer_is_in_a_class(times: list[float]) -> None:
    figures = tally(*((200, seconds) for seconds in times)).figures(connections=0)

    assert sum(figures.latencies) == len(times)


def test_what_came_between_is_never_negative() -> None:
    earlier, later = Figures(begun=9, answered=8, failed=2, deaths=1), Figures(begun=4, answered=9, failed=2, deaths=3)

    between = later.since(earlier)

    assert (between.begun, between.answered, between.failed, between.deaths) == (0, 1, 0, 2)


def test_processes_add_up() -> None:
    one = tally((200, BOUNDS_S[3])).figures(connections=1)

    both = together([one, one])

    assert (both.answered, both.connections, both.latencies[3]) == (2, 2, 2)
    assert together([]) == Figures()
