"""How near two vectors are, computed in full: what approximate answers are measured by and fall back on."""

import math
from collections.abc import Iterable
from heapq import nlargest

from undercroft.vectors.types import Hit, Metric, Point, Query, Vector


def score(metric: Metric, one: "Vector[float]", other: "Vector[float]") -> float:
    """`Hit.score`: cosine similarity, dot product or minus the Euclidean distance."""
    if metric == "euclidean":
        return -math.dist(one, other)
    product = sum(map(float.__mul__, one, other))
    return product if metric == "dot" else product / (math.hypot(*one) * math.hypot(*other))


def nearest(metric: Metric, query: Query, points: Iterable[Point]) -> list[Hit]:
    """The query's hits among these points, which are taken to fit its filter."""
    best = nlargest(
        query.limit, ((score(metric, query.vector, one.vector), one) for one in points), key=lambda pair: pair[0]
    )
    return [
        Hit(
            id=point.id,
            score=near,
            metadata=point.metadata,
            text=point.text,
            vector=point.vector if query.with_vectors else None,
        )
        for near, point in best
        if query.threshold is None or near >= query.threshold
    ]
