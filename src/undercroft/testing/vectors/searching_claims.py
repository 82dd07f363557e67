"""The nearest come first, as many as were asked for, with what was written last among them."""

import math
import random
from collections.abc import Sequence
from typing import Any

from undercroft.testing.vector_data import NEAR, far_apart, random_vector
from undercroft.testing.vectors.subject import Subject
from undercroft.vectors.filters import Eq
from undercroft.vectors.types import Metric, Point, Query, vector_of


async def the_nearest_come_first_by_every_metric(subject: Subject) -> None:
    rng = random.Random(1)  # noqa: S311 - data
    metrics: tuple[Metric, ...] = ("cosine", "dot", "euclidean")
    for metric in metrics:
        points = [
            Point(id=f"p{place}", vector=vector_of(rng.gauss(0, 1 + place % 3) for _ in range(8)))
            for place in range(60)
        ]
        if metric not in subject.store.abilities.metrics:
            continue
        spec = await subject.filled(points, metric=metric)
        for _ in range(5):
            query = Query(vector=random_vector(rng, 8), limit=10)
            wanted = sorted(((_score(metric, query.vector, p.vector), p.id) for p in points), reverse=True)[:10]
            hits = await subject.store.search(spec.name, query)
            assert [hit.id for hit in hits] == [name for _, name in wanted], f"by {metric}, {hits} are not {wanted}"
            for hit, (score, _) in zip(hits, wanted, strict=True):
                assert math.isclose(hit.score, score, rel_tol=NEAR, abs_tol=NEAR), f"{metric}: {hit} scores {score}"


async def a_threshold_leaves_out_what_is_below(subject: Subject) -> None:
    points = [Point(id=str(degrees), vector=_turned(degrees)) for degrees in (0, 30, 60, 90, 120)]
    spec = await subject.filled(points)
    hits = await subject.store.search(spec.name, Query(vector=_turned(0), threshold=0.49))
    assert [hit.id for hit in hits] == ["0", "30", "60"], f"at least 0.49 have {hits}"
    assert not await subject.store.search(spec.name, Query(vector=vector_of([0, 0, 1]), threshold=0.9))


async def a_search_sees_what_was_just_written(subject: Subject) -> None:
    spec = await subject.collection(dimension=8)
    rng = random.Random(4)  # noqa: S311 - data
    for turn in range(20):
        points = [Point(id=f"{turn}-{place}", vector=random_vector(rng, 8)) for place in range(5)]
        await subject.store.upsert(spec.name, points)
        await subject.settled(spec, 5 * (turn + 1) - min(turn, 10))
        (hit,) = await subject.store.search(spec.name, Query(vector=points[0].vector, limit=1))
        assert hit.id == points[0].id, f"{points[0].id} was written, and its own vector finds {hit.id}"
        if turn < 10:
            await subject.store.delete(spec.name, [points[0].id])
            await subject.settled(spec, 5 * (turn + 1) - turn - 1)
            hits = await subject.store.search(spec.name, Query(vector=points[0].vector, limit=3))
            assert points[0].id not in [hit.id for hit in hits], "a deleted point was found"


async def many_searches_are_each_answered(subject: Subject) -> None:
    points = [
        Point(id=str(place), vector=far_apart(place, 16), metadata={"even": place % 2 == 0}) for place in range(16)
    ]
    spec = await subject.filled(points)
    queries = [Query(vector=point.vector, limit=1) for point in points]
    queries.append(Query(vector=points[1].vector, limit=3, where=Eq("even", value=True)))
    answers = await subject.store.search_many(spec.name, queries)
    assert [hits[0].id for hits in answers[:-1]] == [point.id for point in points]
    assert len(answers[-1]) == 3
    assert all(int(hit.id) % 2 == 0 for hit in answers[-1])
    assert not await subject.store.search_many(spec.name, [])


def _score(metric: Metric, one: Sequence[float], other: Sequence[float]) -> float:
    if metric == "euclidean":
        return -math.dist(one, other)
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product if metric == "dot" else product / (math.hypot(*one) * math.hypot(*other))


def _turned(degrees: float) -> Any:
    return vector_of([math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0])
