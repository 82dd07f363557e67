import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.vectors.stores.embedded.planner import Situation, plan, without_graph

LARGE = Situation(points=100_000, fitting=100_000, dimension=384, has_signs=True, has_graph=True)


@pytest.mark.parametrize(
    ("fitting", "way"),
    [(0, "none"), (100, "all"), (1000, "all"), (10_000, "signs"), (50_000, "graph"), (100_000, "graph")],
)
def test_the_way_goes_by_how_many_points_fit(fitting: int, way: str) -> None:
    situation = dataclasses.replace(LARGE, fitting=fitting)
    assert plan(situation, limit=10, effort=None, is_exact=False).way == way


def test_an_exact_search_compares_every_point() -> None:
    assert plan(LARGE, limit=10, effort=None, is_exact=True).way == "all"


def test_the_graph_is_asked_for_as_many_more_as_will_not_fit() -> None:
    half = dataclasses.replace(LARGE, fitting=50_000)
    assert plan(half, limit=100, effort=None, is_exact=False).candidates == 330
    assert plan(LARGE, limit=10, effort=40, is_exact=False).candidates == 40
    assert plan(LARGE, limit=500, effort=40, is_exact=False).candidates == 500


def test_without_a_graph_signs_choose_and_without_signs_all_are_scored() -> None:
    assert without_graph(LARGE, limit=10, effort=None).way == "signs"
    assert without_graph(dataclasses.replace(LARGE, has_signs=False), limit=10, effort=None).way == "all"


@given(
    points=st.integers(1, 10**7),
    share=st.floats(0, 1),
    dimension=st.integers(1, 4096),
    limit=st.integers(1, 10_000),
    effort=st.none() | st.integers(1, 10_000),
    has=st.tuples(st.booleans(), st.booleans()),
)
def test_every_way_brings_as_many_candidates_as_are_wanted(
    points: int, share: float, dimension: int, limit: int, effort: int | None, has: tuple[bool, bool]
) -> None:
    situation = Situation(points, int(points * share), dimension, has_signs=has[0], has_graph=has[1])
    for way in (
        plan(situation, limit=limit, effort=effort, is_exact=False),
        without_graph(situation, limit=limit, effort=effort),
    ):
        assert way.way in ("none", "all") or way.candidates >= limit
        assert way.way != "signs" or way.candidates < situation.fitting
