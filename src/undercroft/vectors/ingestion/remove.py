"""Takes files out again, and what ingestions that died have left."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from undercroft.vectors.filters import And, Eq, In
from undercroft.vectors.ingestion import repository
from undercroft.vectors.ingestion.types import GENERATION, SOURCE, Place
from undercroft.vectors.store import VectorStore

T = TypeVar("T")


class Transactions(Protocol):
    """The database, as far as this needs it: each work runs in one transaction; raises Unavailable."""

    async def read(self, work: Callable[[Connection], T], /) -> T: ...

    async def write(self, work: Callable[[Connection], T], /) -> T: ...


Hidden = Callable[[Connection], None]
"""What else is written in the transaction that hides a file."""


def _alone(_: Connection) -> None:
    """Nothing else is written."""


class Remover:
    """Hides first, then deletes: a process that dies in between leaves what nobody sees, until it is tidied up."""

    def __init__(self, database: Transactions, store: VectorStore) -> None:
        self._database = database
        self._store = store

    async def remove(self, place: Place, source: str, *, beside: Hidden = _alone) -> bool:
        """Nothing of the source is seen from here on; then its points are deleted. False when there was none."""

        def hide(connection: Connection) -> list[str] | None:
            beside(connection)
            return repository.hide(connection, place, source)

        generations = await self._database.write(hide)
        if generations is None:
            return False
        await self.clean(place, source, generations)
        return True

    async def tidy(self, place: Place) -> None:
        """Deletes what was left behind."""
        for source in await self._database.read(partial(repository.littered, place=place)):
            known = await self._database.read(partial(repository.find, place=place, source=source))
            if known is not None:
                await self.clean(place, source, known.litter)

    async def clean(self, place: Place, source: str, generations: Sequence[str]) -> None:
        """Deletes the points of generations that are no longer seen, and says that it is done."""
        if generations:
            await self.delete_points(place, source, generations)
        await self._database.write(
            partial(repository.cleaned, place=place, source=source, generations=tuple(generations))
        )

    async def delete_points(self, place: Place, source: str, generations: Sequence[str]) -> None:
        where = And((Eq(SOURCE, source), In(GENERATION, tuple(generations))))
        await self._store.delete_where(place.collection, where, namespace=place.namespace)
