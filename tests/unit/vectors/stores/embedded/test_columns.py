import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from undercroft.testing.vector_data import FIELDS, made_points, random_filter
from undercroft.vectors.filters import Eq, Exists, In, Range, matches
from undercroft.vectors.stores.embedded.columns import Column, Mask, field_values, mask_of


@given(st.integers())
def test_a_mask_is_what_the_evaluator_says(seed: int) -> None:
    rng = random.Random(seed)
    points = made_points(rng, 60)
    columns = {name: Column() for name in (*FIELDS, "missing")}
    for start in range(0, 60, 25):
        rows = [(place, points[place].metadata) for place in range(start, min(start + 25, 60))]
        for name, column in columns.items():
            column.extend(field_values(rows, name))
    where = random_filter(rng)

    def leaf(of: Eq | In | Range | Exists) -> Mask:
        return columns[of.field].mask(of, length=columns[of.field].length, points=60)

    assert mask_of(where, points=60, leaf=leaf).tolist() == [matches(where, point.metadata) for point in points]


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=3), max_size=80), st.data())
def test_the_places_of_a_value_are_those_of_its_mask_whenever_they_were_first_asked_for(
    values: list[list[str]], data: st.DataObject
) -> None:
    column, lengths = Column(), [0]
    asked = data.draw(st.sets(st.integers(0, len(values))))
    for place, value in enumerate(values):
        if place in asked:
            column.positions("a", length=column.length)
        column.extend([(place, tuple(value))])
        lengths.append(column.length)
    for points in (len(values), len(values) // 2):
        for tag in "abcd":
            mask = column.mask(Eq("tag", tag), length=lengths[points], points=points)
            assert column.positions(tag, length=lengths[points]).tolist() == np.flatnonzero(mask).tolist()


def test_postings_are_made_again_when_much_has_come() -> None:
    column = Column()
    column.extend((place, place % 2) for place in range(10))
    assert column.positions(1, length=10).tolist() == [1, 3, 5, 7, 9]
    column.extend((place, place % 2) for place in range(10, 5000))
    assert len(column.positions(1, length=5000)) == 2500
    assert column.positions(1, length=7).tolist() == [1, 3, 5]


def test_who_knows_a_shorter_length_sees_nothing_of_what_came_later() -> None:
    column = Column()
    column.extend([(0, "a"), (1, ("a", "b"))])
    length = column.length
    column.extend((place, "a") for place in range(2, 5000))
    assert column.mask(Eq("tag", "a"), length=length, points=2).tolist() == [True, True]
    assert column.mask(Eq("tag", "b"), length=column.length, points=5000).sum() == 1
    assert column.mask(Exists("tag"), length=column.length, points=5000).sum() == 5000
