"""What a vector store must do. `undercroft.testing.vectors` checks that one does."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from undercroft.vectors.filters import Filter
from undercroft.vectors.types import Abilities, CollectionSpec, Hit, Page, Point, Query, Stats, TextQuery


class VectorStore(Protocol):
    """Keeps points and finds the nearest.

    Raises CollectionNotFound, the Invalid… errors of `vectors/errors.py`, and Unavailable while the store is away.
    Whatever the filter, a search returns as many hits as it asked for when that many points fit, and never a point that
    does not fit. Points of one namespace are never seen from another. What was acknowledged stays.
    """

    name: str
    abilities: Abilities

    async def create(self, spec: CollectionSpec) -> None:
        """Makes a collection. The same again: nothing happens; with other dimension, metric or fields:
        CollectionConflict."""
        ...

    async def drop(self, collection: str) -> bool:
        """Deletes a collection with all that is in it; False when there was none."""
        ...

    async def collections(self) -> list[CollectionSpec]:
        """All there are, by name."""
        ...

    async def describe(self, collection: str) -> CollectionSpec: ...

    async def upsert(self, collection: str, points: Sequence[Point], *, namespace: str = "") -> None:
        """Stores points, each in place of the one with its id. A batch with a fault in it is refused whole (the error
        has its position); a store that breaks down in the middle raises PartlyStored where it cannot take back."""
        ...

    async def get(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> list[Point]:
        """The points of these ids that are there, in their order. With `cosine`, vectors may come back at length 1."""
        ...

    async def delete(self, collection: str, ids: Sequence[str], *, namespace: str = "") -> int:
        """Returns how many were there."""
        ...

    async def delete_where(self, collection: str, where: Filter | None, *, namespace: str = "") -> int:
        """Deletes what fits; with None, the whole namespace. Returns how many that were."""
        ...

    async def search(self, collection: str, query: Query) -> list[Hit]:
        """The nearest points, best first; of equal ones any first."""
        ...

    async def search_many(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
        """`search` for each."""
        ...

    async def count(self, collection: str, where: Filter | None = None, *, namespace: str = "") -> int: ...

    async def scroll(
        self,
        collection: str,
        *,
        where: Filter | None = None,
        namespace: str = "",
        after: str | None = None,
        limit: int = 1000,
    ) -> Page:
        """The points that fit, vectors included, page by page: `after` is the last page's `next`."""
        ...

    async def stats(self, collection: str) -> Stats: ...

    async def close(self) -> None:
        """Lets go of files and connections."""
        ...


@runtime_checkable
class TextSearch(Protocol):
    """A store that finds by words, too; its abilities say `has_text_search`."""

    async def search_text(self, collection: str, query: TextQuery) -> list[Hit]:
        """Points with any of the words, best first."""
        ...
