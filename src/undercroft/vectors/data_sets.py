"""What is searched in a measurement: the user's own points, or made ones; some are held out to be asked for."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from undercroft.errors import InvalidRequest
from undercroft.vectors.filters import Filter, Range
from undercroft.vectors.judging import Question
from undercroft.vectors.types import Metadata, Metric, Point, Query, Vector, vector_of

SHARES: Final = (0.001, 0.01, 0.1, 0.5)
"""Of the points that a filter lets through."""
FIELD: Final = "bench_share"
"""A number from 0 to 1 that every measured point gets, independent of its vector."""
CLUSTERS: Final = 100
SPREAD: Final = 0.35
"""Of a cluster, against the distance of the clusters: near neighbours, as texts have."""
QUERIES: Final = 200
WORDS: Final = (
    "amber",
    "basin",
    "canal",
    "delta",
    "ember",
    "fjord",
    "grove",
    "haven",
    "island",
    "jetty",
    "kiln",
    "ledge",
    "marsh",
    "nave",
    "oriel",
    "pillar",
    "quarry",
    "ridge",
    "spire",
    "tower",
    "umber",
    "vault",
    "wharf",
    "yard",
    "zenith",
)

Numbers = Any
"""numpy's arrays; their types are not known to the checker without numpy."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """Points to store, and queries that are none of them."""

    name: str
    points: tuple[Point, ...]
    queries: tuple[Point, ...]
    questions: tuple[Question, ...] = ()
    """What `queries` were made of, where it is known which points answer them."""

    @property
    def dimension(self) -> int:
        return len(self.points[0].vector)

    @property
    def has_texts(self) -> bool:
        return all(point.text for point in (*self.points, *self.queries))

    def halves(self) -> tuple["DataSet", "DataSet"]:
        """The same points, with the queries divided: to choose by one half and to be judged by the other."""
        return self._every_other(0), self._every_other(1)

    def _every_other(self, first: int) -> "DataSet":
        return replace(self, queries=self.queries[first::2], questions=self.questions[first::2])


def mixture(rows: int, dimension: int, *, seed: int = 0, queries: int = QUERIES) -> DataSet:
    """Points in clusters, always the same for a seed. Points of a cluster share a word of their texts."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLUSTERS, dimension))
    chosen = rng.integers(0, CLUSTERS, rows + queries)
    # Clusters lie in few directions, as embeddings do, so that nearness means something.
    basis = rng.normal(size=(max(2, dimension // 4), dimension)) / max(2, dimension // 4) ** 0.5
    inner = rng.normal(size=(rows + queries, len(basis)))
    numbers = (centres[chosen] + SPREAD * 2 * inner @ basis).astype(np.float32)
    shares = rng.random(rows + queries)
    words = random.Random(seed)  # noqa: S311 - data
    made = [
        Point(
            id=f"m{place:07}",
            vector=vector_of(numbers[place].tolist()),
            metadata={FIELD: float(shares[place])},
            text=f"cluster{chosen[place]} {' '.join(words.choices(WORDS, k=6))}",
        )
        for place in range(rows + queries)
    ]
    name = f"mixture of {rows} x {dimension}, seed {seed}"
    return DataSet(name, tuple(made[:rows]), tuple(made[rows:]))


def own(name: str, points: Sequence[Point], *, seed: int = 0, queries: int = QUERIES) -> DataSet:
    """The user's points, some of them held out. Raises InvalidRequest when there are too few."""
    held_out = min(queries, len(points) // 10)
    if held_out < 10:
        raise InvalidRequest(f"{name} has {len(points)} points; a measurement takes at least 100.")
    _demand_one_length(name, points)
    rng = random.Random(seed)  # noqa: S311 - a sample
    asked = set(rng.sample(range(len(points)), held_out))
    marked = _marked(points, rng)
    return DataSet(
        name,
        tuple(point for place, point in enumerate(marked) if place not in asked),
        tuple(point for place, point in enumerate(marked) if place in asked),
    )


def judged(name: str, points: Sequence[Point], questions: Sequence[Question], *, seed: int = 0) -> DataSet:
    """The user's points and questions. Raises InvalidRequest where a question is answered by none of the points."""
    there = {point.id for point in points}
    for question in questions:
        if unknown := sorted(question.gains.keys() - there):
            raise InvalidRequest(
                f"The question {question.text!r} is answered by {unknown[0]!r}; {name} has no such id."
            )
    asked = [Point(id=f"q{place}", vector=each.vector, text=each.text) for place, each in enumerate(questions)]
    _demand_one_length(name, [*points, *asked])
    marked = _marked(points, random.Random(seed))  # noqa: S311 - a sample
    return DataSet(name, tuple(marked), tuple(asked), tuple(questions))


def _demand_one_length(name: str, points: Sequence[Point]) -> None:
    lengths = sorted({len(point.vector) for point in points})
    if len(lengths) > 1:
        raise InvalidRequest(
            f"{name}: there are vectors of {lengths[0]} and of {lengths[-1]} numbers; all want as many."
        )


def _marked(points: Sequence[Point], rng: random.Random) -> list[Point]:
    """The points with the field that filters ask for."""
    return [msgspec.structs.replace(point, metadata={**point.metadata, FIELD: rng.random()}) for point in points]


def read_points(path: Path) -> list[Point]:
    """Points of a JSONL file: `{"id", "vector"?, "text"?, "metadata"?}` a line; without `vector`, it is empty.

    Raises InvalidRequest with the line that is no point, or whose vector has another length than the first's.
    """
    points: list[Point] = []
    first = 0
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        point = read_point(line, at=f"{path}:{number}")
        if not point.vector and not (point.text or "").strip():
            raise InvalidRequest(f"{path}:{number}: there is neither a vector nor a text to make one of.")
        first = first or len(point.vector)
        if len(point.vector) not in (0, first):
            raise InvalidRequest(
                f"{path}:{number}: its vector has {len(point.vector)} numbers, the first one has {first}."
            )
        points.append(point)
    if not points:
        raise InvalidRequest(f"{path} holds no points.")
    return points


def read_point(line: str, *, at: str) -> Point:
    """One point of a JSONL file; without `vector`, its vector is empty. Raises InvalidRequest."""
    try:
        document = json.loads(line)
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"{at}: this is no JSON: {error.msg}.") from error
    if not isinstance(document, dict) or (unknown := set(document) - {"id", "vector", "text", "metadata"}):
        told = f"has an unknown key {min(unknown)!r}" if isinstance(document, dict) else "is no object"
        raise InvalidRequest(f"{at}: the line {told}; it takes id, vector, text and metadata.")
    identity, text, metadata = document.get("id"), document.get("text"), document.get("metadata", {})
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    if not isinstance(identity, str) or not (text is None or isinstance(text, str)) or not isinstance(metadata, dict):
        raise InvalidRequest(f"{at}: id and text are texts, metadata is an object.")
    kept: Metadata = {name: tuple(held) if isinstance(held, list) else held for name, held in metadata.items()}
    return Point(id=identity, vector=_numbers(document.get("vector", []), at), metadata=kept, text=text)


def _numbers(written: object, at: str) -> "Vector[float]":
    if not isinstance(written, list):
        raise InvalidRequest(f"{at}: vector is no list of numbers.")
    try:
        return vector_of(written)
    except (TypeError, OverflowError) as error:
        raise InvalidRequest(f"{at}: vector is no list of numbers.") from error


def filter_of(share: float) -> Filter | None:
    """One that lets this share of the points through."""
    return None if share >= 1 else Range(FIELD, lt=share)


class Exact:
    """The true nearest of every query, by comparing it with every point."""

    def __init__(self, data: DataSet, metric: Metric) -> None:
        self._ids = [point.id for point in data.points]
        self._numbers: Numbers = np.array([point.vector for point in data.points], dtype=np.float32)
        self._shares: Numbers = np.array([point.metadata[FIELD] for point in data.points])
        self._metric = metric
        if metric == "cosine":
            self._numbers /= np.linalg.norm(self._numbers, axis=1, keepdims=True)

    def nearest(self, query: Query, *, share: float) -> set[str]:
        scores: Numbers = self._scores(np.asarray(query.vector, dtype=np.float32))
        scores[self._shares >= share] = -np.inf
        most = min(query.limit, int((self._shares < share).sum()))
        best: Numbers = np.argpartition(-scores, most - 1)[:most] if most else []
        return {self._ids[place] for place in best}

    def _scores(self, query: Numbers) -> Numbers:
        if self._metric == "euclidean":
            return -np.linalg.norm(self._numbers - query, axis=1)
        return self._numbers @ query
