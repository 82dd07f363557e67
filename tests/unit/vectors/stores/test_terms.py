"""A filter in terms and numbers chooses what the filter chooses, whatever it is and whatever it is asked of."""

import operator
import random
from typing import Final

import pytest

from undercroft.testing.vector_data import made_points, random_filter
from undercroft.vectors.filters import And, Eq, In, Not, Or, Range, matches
from undercroft.vectors.stores.terms import AnyOf, Compared, Every, HasTerm, Plan, numbers_of, plan_of, terms_of
from undercroft.vectors.types import Metadata, Value

COMPARE: Final = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def fits(plan: Plan, metadata: Metadata) -> bool:
    """As a service would decide that knows only the terms and the numbers."""
    match plan:
        case bool():
            return plan
        case HasTerm(terms, is_negated):
            return set(terms).isdisjoint(terms_of(metadata)) == is_negated
        case Compared(field, bound, number):
            held = numbers_of(metadata).get(field)
            return held is not None and bool(COMPARE[bound](held, number))
        case Every(parts):
            return all(fits(part, metadata) for part in parts)
        case AnyOf(parts):
            return any(fits(part, metadata) for part in parts)


@pytest.mark.parametrize("seed", range(200))
def test_a_plan_chooses_what_the_evaluator_chooses(seed: int) -> None:
    rng = random.Random(seed)
    points = made_points(rng, 40)
    for _ in range(10):
        where = random_filter(rng, depth=4)
        plan = plan_of(where)
        for point in points:
            assert fits(plan, point.metadata) == matches(where, point.metadata), f"{where} of {point.metadata}"


def test_what_decides_nothing_is_not_asked() -> None:
    assert plan_of(None) is True
    assert plan_of(And(())) is True
    assert plan_of(Or(())) is False
    assert plan_of(Not(In("a", ()))) is True
    assert plan_of(And((Or(()), Eq("a", 1)))) is False
    assert plan_of(Or((Or(()), Eq("a", 1)))) == plan_of(Eq("a", 1))


def test_values_of_different_kinds_share_no_term() -> None:
    values: list[Value] = ["1", 1, True, "true", "1.0", ("1", "x")]
    terms = [set(terms_of({"a": value})) - {'"a"?', '"a"#'} for value in values]
    assert len({frozenset(one) for one in terms}) == len(values)
    assert terms_of({"a": 1}) == terms_of({"a": 1.0})
    assert terms_of({"a": 0.0}) == terms_of({"a": -0.0})
    assert set(terms_of({"a": "b"})).isdisjoint(terms_of({'a"="b'.replace('"', ""): "b"}))


def test_terms_do_not_grow_with_what_they_stand_for() -> None:
    long, other = "x" * 30_000, "x" * 29_999 + "y"
    assert max(map(len, terms_of({"field": long}))) < 200
    assert terms_of({"field": long}) != terms_of({"field": other})
    assert not fits(plan_of(Eq("field", other)), {"field": long})


def test_a_range_that_is_denied_fits_what_is_no_number() -> None:
    where = Not(Range("a", gte=1))
    assert [fits(plan_of(where), one) for one in ({}, {"a": "x"}, {"a": 0.5}, {"a": 1})] == [True, True, True, False]
