"""Filters choose what the evaluator in Python chooses, and inside the search, not after it."""

import random
from typing import Any

import msgspec

from undercroft.testing.vector_data import far_apart, made_points, random_filter
from undercroft.testing.vectors.subject import Subject, demand_same
from undercroft.vectors.filters import And, Eq, Exists, Filter, In, Not, Or, Range, matches
from undercroft.vectors.types import Point, Query, vector_of


async def every_filter_chooses_what_the_evaluator_chooses(subject: Subject) -> None:
    rng = random.Random(2)  # noqa: S311 - data
    points = made_points(rng, 150)
    spec = await subject.filled(points)
    for _ in range(120):
        where = random_filter(rng)
        wanted = {point.id for point in points if matches(where, point.metadata)}
        number = await subject.store.count(spec.name, where)
        assert number == len(wanted), f"{where} counts {number}; the evaluator {len(wanted)}"
        hits = await subject.store.search(spec.name, Query(vector=points[0].vector, limit=200, where=where))
        demand_same({hit.id for hit in hits}, wanted, f"the search with {where}")


async def every_kind_of_value_fits_only_its_own(subject: Subject) -> None:
    values: dict[str, Any] = {"text": "1", "number": 1, "float": 1.0, "true": True, "list": ("1", "x"), "zero": 0}
    values |= {"false": False, "big": 2**53, "less": 2**53 - 1, "half": 0.5, "quote": 'it\'s "so" \\ %_', "none": ""}
    points = [
        Point(id=name, vector=far_apart(place, 3), metadata={"value": value})
        for place, (name, value) in enumerate(values.items())
    ]
    spec = await subject.filled([*points, Point(id="missing", vector=vector_of([1, 1, 1]))])
    cases: list[tuple[Filter, set[str]]] = [
        (Eq("value", "1"), {"text", "list"}),
        (Eq("value", 1), {"number", "float"}),
        (Eq("value", value=True), {"true"}),
        (Eq("value", 0.0), {"zero"}),
        (Eq("value", 2**53 - 1), {"less"}),
        (Eq("value", values["quote"]), {"quote"}),
        (Eq("value", ""), {"none"}),
        (In("value", ("x", False, 0.5)), {"list", "false", "half"}),
        (In("value", ()), set()),
        (Range("value", gt=0), {"number", "float", "half", "big", "less"}),
        (Range("value", gte=0, lt=1), {"zero", "half"}),
        (Not(Exists("value")), {"missing"}),
        (Not(Eq("value", 1)), {*values, "missing"} - {"number", "float"}),
        (And(()), {*values, "missing"}),
        (Or(()), set()),
        (Eq("other", 1), set()),
    ]
    for where, wanted in cases:
        page = await subject.store.scroll(spec.name, where=where)
        demand_same({point.id for point in page.points}, wanted, str(where))


async def as_many_as_fit_come_back_whatever_the_filter(subject: Subject) -> None:
    """Points that fit lie far from the query, behind all that do not: an index that filters afterwards finds none."""
    rng = random.Random(3)  # noqa: S311 - data
    points = [
        Point(id=f"p{place}", vector=_around(place % 50 == 7, rng), metadata={"share": place % 50, "half": place % 2})
        for place in range(1500)
    ]
    spec = await subject.filled(points)
    query = Query(vector=vector_of([1.0] + [0.0] * 15), limit=10)
    for where in (Eq("share", 7), Range("share", gte=7, lte=8), Eq("half", 1), And((Eq("share", 7), Eq("half", 1)))):
        fit = sum(matches(where, point.metadata) for point in points)
        for limit in (10, 100):
            hits = await subject.store.search(spec.name, msgspec.structs.replace(query, where=where, limit=limit))
            wanted = min(limit, fit)
            assert len(hits) == wanted, f"{fit} points fit {where}, and {len(hits)} of {wanted} came back"
            assert all(matches(where, hit.metadata) for hit in hits), f"{hits} do not all fit {where}"


def _around(is_far: bool, rng: random.Random) -> Any:
    return vector_of([-1.0 if is_far else 1.0, *(rng.gauss(0, 0.1) for _ in range(15))])
