"""Measures of an order against values computed by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.ranking import mrr, ndcg, recall

IDS = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


def test_recall_is_the_share_of_what_is_relevant() -> None:
    found = ["x", "a", "y", "b"]
    assert recall(found, ["a", "b", "c"], 4) == pytest.approx(2 / 3)
    assert recall(found, ["a", "b"], 2) == pytest.approx(1 / 2)


def test_a_reciprocal_rank_is_of_the_first_that_is_relevant() -> None:
    found = ["x", "a", "y", "b"]
    assert mrr(found, ["a", "b"], 4) == pytest.approx(1 / 2)
    assert mrr(found, ["b"], 4) == pytest.approx(1 / 4)
    assert mrr(found, ["b"], 3) == 0


def test_gain_is_discounted_by_the_logarithm_of_its_place() -> None:
    found = ["x", "a", "y", "b"]
    # Gains 3 and 1 at places 2 and 4: log2(3) and log2(5); at best at places 1 and 2.
    assert ndcg(found, {"a": 3, "b": 1}, 4) == pytest.approx(
        (3 / 1.584962500721156 + 1 / 2.321928094887362) / 3.6309297535714573
    )
    # One of three that are relevant, at place 2, with two places to fill: (1 / 1.58496) / (1 + 1 / 1.58496).
    assert ndcg(["x", "a"], {"a": 1, "b": 1, "c": 1}, 2) == pytest.approx(0.3868528072345416)
    assert ndcg(["a", "b"], {"a": 3, "b": 1}, 2) == 1


@given(found=IDS, relevant=IDS.filter(bool), count=st.integers(1, 8))
def test_every_measure_is_between_0_and_1(found: list[str], relevant: list[str], count: int) -> None:
    gains = {name: place + 1.0 for place, name in enumerate(relevant)}
    for measured in (recall(found, relevant, count), mrr(found, relevant, count), ndcg(found, gains, count)):
        assert 0 <= measured <= 1 + 1e-9
    best = sorted(gains, key=lambda name: -gains[name])
    assert ndcg(best, gains, count) == pytest.approx(1)
