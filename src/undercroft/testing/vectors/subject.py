"""The store under test, and what every claim says when it does not hold."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import msgspec

from undercroft.errors import UndercroftError
from undercroft.testing.vector_data import NEAR
from undercroft.vectors.store import VectorStore
from undercroft.vectors.types import CollectionSpec, Point

WAIT_S: Final = 10.0
"""How long a store that is not consistent may take to show what was written."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The store under test."""

    store: VectorStore
    numbers: "count[int]"
    """Of which collections are named: the same for all claims on the same store."""

    async def collection(self, **changes: Any) -> CollectionSpec:
        """A new, empty one of three dimensions."""
        spec = CollectionSpec(name=f"claims-{next(self.numbers)}", dimension=3)
        spec = msgspec.structs.replace(spec, **changes)
        await self.store.create(spec)
        return spec

    async def filled(self, points: Sequence[Point], *, namespace: str = "", **changes: Any) -> CollectionSpec:
        """A new one with these points, which can be seen."""
        spec = await self.collection(dimension=len(points[0].vector), **changes)
        await self.store.upsert(spec.name, points, namespace=namespace)
        await self.settled(spec, len(points), namespace=namespace)
        return spec

    async def settled(self, spec: CollectionSpec, number: int, *, namespace: str = "") -> None:
        """Returns when the namespace has so many points; of a consistent store, asks once."""
        found = 0
        for _ in range(1 if self.store.abilities.is_consistent else int(WAIT_S / 0.1)):
            if (found := await self.store.count(spec.name, namespace=namespace)) == number:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{number} points were written or left, and {found} are there")


Claim = Callable[[Subject], Coroutine[Any, Any, None]]


async def raised(kind: type[UndercroftError], asked: Coroutine[Any, Any, Any]) -> UndercroftError:
    """The error of this kind that the call ends in."""
    try:
        answer = await asked
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was due, and {answer!r} came")


def demand_same(found: set[str], wanted: set[str], what: str) -> None:
    """Raises AssertionError that says what is too much and what is missing."""
    assert found == wanted, f"{what}: too many {sorted(found - wanted)[:5]}, missing {sorted(wanted - found)[:5]}"


def are_near(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two vectors are the same but for what stores may round."""
    return len(one) == len(other) and all(math.isclose(a, b, abs_tol=NEAR) for a, b in zip(one, other, strict=True))
