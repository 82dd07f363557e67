"""Which of these points are nearest: exactly, or by their signs."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from undercroft.vectors.types import Metric

Floats = NDArray[np.float32]
Positions = NDArray[np.int64]
Planes = NDArray[np.uint64]
"""Signs, 64 of every point in each row: a bit for each dimension, set where the number is positive."""

CHUNK: Final = 8192
"""Points scored at once, so that what lies in between fits the processor's cache."""


def scores(metric: Metric, vectors: Floats, query: Floats) -> Floats:
    """The score of each vector; higher is better. With `cosine`, all are of length 1."""
    if metric != "euclidean":
        return vectors @ query
    difference = vectors - query
    apart: Floats = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return -apart


def score_at(metric: Metric, vectors: Floats, positions: Positions, query: Floats) -> Floats:
    """The scores of the points at these positions."""
    if len(positions) <= CHUNK:
        return scores(metric, vectors.take(positions, axis=0), query)
    parts = [positions[start : start + CHUNK] for start in range(0, len(positions), CHUNK)]
    return np.concatenate([scores(metric, vectors.take(part, axis=0), query) for part in parts])


def score_all(metric: Metric, vectors: Floats, query: Floats) -> Floats:
    """The scores of all points."""
    parts = [scores(metric, vectors[start : start + CHUNK], query) for start in range(0, len(vectors), CHUNK)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def best(found: Floats, number: int) -> NDArray[np.intp]:
    """Where the `number` highest are, highest first."""
    if number < len(found):
        top = np.argpartition(found, len(found) - number)[len(found) - number :]
        return top[np.argsort(found[top])[::-1]]
    return np.argsort(found)[::-1]


def sign_planes(vectors: Floats) -> Planes:
    """The signs of vectors, in shape (dimension / 64, points)."""
    packed = np.packbits(vectors > 0, axis=1)
    width = -(-packed.shape[1] // 8) * 8
    padded = np.zeros((len(vectors), width), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return np.ascontiguousarray(padded.view(np.uint64).T)


def by_signs(planes: Planes, query: Floats, positions: Positions | None, number: int) -> Positions:
    """Positions of the `number` points that share the most signs with the query, in no order."""
    signs: Any = sign_planes(query[np.newaxis])[:, 0]
    apart = np.zeros(planes.shape[1] if positions is None else len(positions), np.uint16)
    for plane, sign in zip(planes, signs, strict=True):
        some = plane if positions is None else plane.take(positions)
        apart += np.bitwise_count(some ^ sign)
    nearest: Positions = np.argpartition(apart, number)[:number]
    return nearest if positions is None else positions.take(nearest)
