import math

import msgspec
import pytest

from undercroft.vectors import checks
from undercroft.vectors.errors import CollectionConflict, DimensionMismatch, InvalidCollection, InvalidPoint
from undercroft.vectors.types import Abilities, CollectionSpec, Point, vector_of

ABILITIES = Abilities(max_dimension=100, metrics=frozenset(("cosine", "dot")), metadata_bytes=200, text_bytes=100)
SPEC = CollectionSpec(name="docs", dimension=2)
GOOD = Point(id="a", vector=vector_of([1, 0]))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "a/b"},
        {"name": "x" * 65},
        {"name": "ä"},
        {"dimension": 0},
        {"dimension": 101},
        {"metric": "euclidean"},
        {"fields": {"$a": "text"}},
    ],
)
def test_a_collection_that_cannot_be_made_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidCollection):
        checks.check_spec(msgspec.structs.replace(SPEC, **changes), ABILITIES)


def test_the_index_of_a_collection_that_is_there_may_be_named_otherwise() -> None:
    checks.check_same(SPEC, msgspec.structs.replace(SPEC, effort=7))
    with pytest.raises(CollectionConflict, match="dimension 2"):
        checks.check_same(SPEC, msgspec.structs.replace(SPEC, dimension=3))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"text": "ö" * 51}, "102 bytes"),
        ({"metadata": {"a": "x" * 300}}, "this store takes 200"),
        ({"metadata": {"a": ["x", 1]}}, "no text"),
        ({"metadata": {"a": {"b": 1}}}, "no text, number or boolean"),
        ({"metadata": {"a": None}}, "no text, number or boolean"),
        ({"metadata": {"a": "\ud800"}}, "surrogate"),
        ({"metadata": {'a"': 1}}, "quotation"),
        ({"id": "a\nb"}, "printed"),
        ({"vector": vector_of([1, -math.inf])}, "number 1 of the vector is -inf"),
        ({"vector": vector_of([1e300, 0])}, "number 0 of the vector is inf"),
    ],
)
def test_a_point_is_refused_with_its_position_and_the_reason(changes: dict[str, object], says: str) -> None:
    bad = msgspec.structs.replace(GOOD, id="b")
    with pytest.raises(InvalidPoint, match=says) as refused:
        checks.check_points(SPEC, [GOOD, msgspec.structs.replace(bad, **changes)], ABILITIES)
    assert refused.value.position == 1
    assert (refused.value.param or "").startswith("points[1].")


def test_too_many_points_are_refused() -> None:
    with pytest.raises(InvalidPoint, match="at most 10000"):
        checks.check_points(SPEC, [GOOD] * 10_001, ABILITIES)


def test_a_query_of_another_length_says_both_lengths() -> None:
    with pytest.raises(DimensionMismatch, match="3 numbers, the collection takes 2"):
        checks.check_points(SPEC, [msgspec.structs.replace(GOOD, vector=vector_of([1, 2, 3]))], ABILITIES)
