"""Points and filters that try a vector store."""

import random
from typing import Any, Final

from undercroft.vectors.filters import And, Eq, Exists, Filter, In, Not, Or, Range
from undercroft.vectors.types import Point, Value, Vector, vector_of

NEAR: Final = 1e-3
"""How far scores may be off: a store may keep two bytes a number and compute with four."""
FIELDS: Final = ("color", "number", "share", "is_new", "tags", "mixed")
COLORS: Final = ("red", "green", "blue", "it's", 'so "called"', "", "Größe", "1", "true")


def random_vector(rng: random.Random, dimension: int) -> "Vector[float]":
    return vector_of(rng.gauss(0, 1) for _ in range(dimension))


def far_apart(place: int, dimension: int) -> "Vector[float]":
    """The place-th axis; past the last, somewhere between two."""
    numbers = [0.0] * dimension
    numbers[place % dimension] = 1.0
    numbers[(place + 1) % dimension] = 0.1 * (place // dimension)
    return vector_of(numbers)


def made_points(rng: random.Random, number: int, *, dimension: int = 8) -> list[Point]:
    """Points whose metadata has fields of every kind, some missing, one that holds now this and now that."""
    return [
        Point(id=f"point {place}", vector=random_vector(rng, dimension), metadata=_made_metadata(rng))
        for place in range(number)
    ]


def _made_metadata(rng: random.Random) -> dict[str, Value]:
    made: dict[str, Value] = {
        "color": rng.choice(COLORS),
        "number": rng.randrange(-3, 10),
        "share": rng.choice((0.0, 0.25, 0.5, 1.0, -0.125, 1e9)),
        "is_new": rng.random() < 0.5,
        "tags": tuple(rng.sample(COLORS, rng.randrange(1, 4))),
        "mixed": rng.choice(("1", 1, 1.0, True, 0, False, "x", ("1", "y"))),
    }
    return {name: value for name, value in made.items() if rng.random() < 0.8}


def random_filter(rng: random.Random, *, depth: int = 3) -> Filter:
    """Any filter, about any field."""
    if depth and rng.random() < 0.6:
        match rng.randrange(3):
            case 0:
                return And(tuple(random_filter(rng, depth=depth - 1) for _ in range(rng.randrange(4))))
            case 1:
                return Or(tuple(random_filter(rng, depth=depth - 1) for _ in range(rng.randrange(4))))
            case _:
                return Not(random_filter(rng, depth=depth - 1))
    field = rng.choice((*FIELDS, "missing"))
    match rng.randrange(4):
        case 0:
            return Eq(field, _operand(rng))
        case 1:
            return In(field, tuple(_operand(rng) for _ in range(rng.randrange(4))))
        case 2:
            bounds: dict[str, Any] = {rng.choice(("gt", "gte")): rng.choice((-1, 0, 0.25, 3))}
            if rng.random() < 0.5:
                bounds[rng.choice(("lt", "lte"))] = rng.choice((0.5, 1, 5, 1e9))
            return Range(field, **bounds)
        case _:
            return Exists(field)


def _operand(rng: random.Random) -> str | int | float | bool:
    return rng.choice((*COLORS, 1, 1.0, 0, True, False, 0.25, 3, -0.125))
