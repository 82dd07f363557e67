import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.testing.vector_data import made_points, random_filter
from undercroft.vectors.errors import InvalidFilter
from undercroft.vectors.filters import And, Eq, Exists, In, Not, Or, Range, matches, parse, unparse


def test_openai_attribute_filters_are_read() -> None:
    source = {
        "type": "and",
        "filters": [
            {"type": "eq", "key": "lang", "value": "en"},
            {"type": "gte", "key": "year", "value": 2024},
            {"type": "or", "filters": [{"type": "nin", "key": "tag", "value": ["a", 1]}]},
            {"type": "not", "filter": {"type": "exists", "key": "draft"}},
        ],
    }
    wanted = And((Eq("lang", "en"), Range("year", gte=2024), Or((Not(In("tag", ("a", 1))),)), Not(Exists("draft"))))
    assert parse(source) == wanted


@pytest.mark.parametrize(
    ("source", "param"),
    [
        ("eq", "filter"),
        ({"type": "like", "key": "a", "value": "b"}, "filter.type"),
        ({"type": ["eq"], "key": "a", "value": "b"}, "filter.type"),
        ({"type": "eq", "key": "a"}, "filter.value"),
        ({"type": "eq", "key": "a", "value": "b", "case": False}, "filter.case"),
        ({"type": "eq", "key": "", "value": "b"}, "filter.key"),
        ({"type": "eq", "key": "$or", "value": "b"}, "filter.key"),
        ({"type": "eq", "key": "a", "value": None}, "filter.value"),
        ({"type": "eq", "key": "a", "value": float("nan")}, "filter.value"),
        ({"type": "eq", "key": "a", "value": 2**60}, "filter.value"),
        ({"type": "eq", "key": "a", "value": "\ud800"}, "filter.value"),
        ({"type": "gt", "key": "a", "value": "2024"}, "filter.value"),
        ({"type": "gt", "key": "a", "value": True}, "filter.value"),
        ({"type": "in", "key": "a", "value": "b"}, "filter.value"),
        ({"type": "in", "key": "a", "value": ["b", {}]}, "filter.value[1]"),
        ({"type": "in", "key": "a", "value": list(range(2000))}, "filter.value"),
        ({"type": "and", "filters": {}}, "filter.filters"),
        ({"type": "and", "filters": [{"type": "exists", "key": "a"}, 1]}, "filter.filters[1]"),
    ],
)
def test_a_filter_that_cannot_be_read_is_refused_where_the_fault_lies(source: object, param: str) -> None:
    with pytest.raises(InvalidFilter) as refused:
        parse(source)
    assert refused.value.param == param
    assert refused.value.status == 400


def test_a_filter_nested_without_end_is_refused() -> None:
    source: dict[str, object] = {"type": "exists", "key": "a"}
    for _ in range(5000):
        source = {"type": "not", "filter": source}
    with pytest.raises(InvalidFilter, match="nested"):
        parse(source)


@given(st.integers())
def test_what_is_written_reads_back_as_the_same_choice(seed: int) -> None:
    rng = random.Random(seed)
    where = random_filter(rng)
    for point in made_points(rng, 20):
        assert matches(parse(unparse(where)), point.metadata) == matches(where, point.metadata)


@given(st.integers())
def test_a_filter_and_its_opposite_divide_the_points(seed: int) -> None:
    rng = random.Random(seed)
    where, point = random_filter(rng), made_points(rng, 1)[0]
    assert matches(where, point.metadata) != matches(Not(where), point.metadata)


def test_a_list_fits_by_its_elements_and_a_boolean_is_no_number() -> None:
    assert matches(Eq("tags", "b"), {"tags": ("a", "b")})
    assert not matches(Eq("flag", 1), {"flag": True})
    assert not matches(Range("flag", gte=0), {"flag": True})
    assert not matches(Eq("missing", 1), {})
    assert matches(Not(Eq("missing", 1)), {})
