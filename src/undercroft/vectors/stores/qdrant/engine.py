"""What the store asks of Qdrant, wherever that runs."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from undercroft.vectors.stores.qdrant.conditions import Json
from undercroft.vectors.types import CollectionSpec

DENSE: Final = "dense"
WORDS: Final = "words"
"""The names of a point's two vectors."""


class Sparse(msgspec.Struct, frozen=True):
    """The weight of each word, by its number."""

    indices: list[int]
    values: list[float]


class Record(msgspec.Struct, frozen=True):
    """A point as Qdrant has it; `key` is a UUID."""

    key: str
    payload: Mapping[str, Any]
    dense: list[float] | None = None
    words: Sparse | None = None


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A search by one of the two vectors."""

    by: list[float] | Sparse
    condition: Json
    limit: int
    threshold: float | None = None
    effort: int | None = None
    is_exact: bool = False
    with_vectors: bool = False


class Engine(Protocol):
    """Raises CollectionNotFound and Unavailable."""

    async def specs(self) -> list[CollectionSpec]: ...

    async def create(self, spec: CollectionSpec) -> None:
        """Makes a collection that is not there."""
        ...

    async def drop(self, name: str) -> bool: ...

    async def upsert(self, name: str, records: Sequence[Record]) -> None: ...

    async def delete(self, name: str, condition: Json) -> None: ...

    async def retrieve(self, name: str, keys: Sequence[str], *, with_vectors: bool) -> list[Record]: ...

    async def query(self, name: str, asks: Sequence[Ask]) -> list[list[tuple[float, Record]]]: ...

    async def scroll(
        self, name: str, condition: Json, *, after: str | None, limit: int
    ) -> tuple[list[Record], str | None]: ...

    async def count(self, name: str, condition: Json) -> int: ...

    async def namespaces(self, name: str) -> dict[str, int]: ...

    async def close(self) -> None: ...
