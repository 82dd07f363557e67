"""Searches what has been published: never a file that is half there, nor one that was replaced or removed."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from undercroft.vectors import search as searching
from undercroft.vectors.filters import And, Filter, In, Not
from undercroft.vectors.ingestion import repository
from undercroft.vectors.ingestion.remove import Transactions
from undercroft.vectors.ingestion.types import GENERATION, Place
from undercroft.vectors.search import Found, Request
from undercroft.vectors.store import VectorStore

MOST_TRIES: Final = 5
"""Of one search: each leaves out what the one before has met."""


async def search(store: VectorStore, database: Transactions, place: Place, request: Request) -> list[Found]:
    """As `vectors.search`, over what is seen when it answers. Points that were not ingested are always seen.

    What is hidden is met only while files are taken in: then the search is done again without it, so that as many hits
    come back as were asked for.
    """
    hidden: set[str] = set()
    for attempt in range(MOST_TRIES):
        where = request.where if not hidden else _without(request.where, hidden)
        asked = msgspec.structs.replace(request, where=where, namespace=place.namespace)
        found = await searching.search(store, place.collection, asked)
        met = await _hidden(database, place, found)
        if not met or attempt == MOST_TRIES - 1:
            return [each for each in found if each.hit.metadata.get(GENERATION) not in met]
        hidden |= met
    raise AssertionError("the last try returns")


def _without(where: Filter | None, hidden: set[str]) -> Filter:
    others = Not(In(GENERATION, tuple(sorted(hidden))))
    return others if where is None else And((where, others))


async def _hidden(database: Transactions, place: Place, found: Sequence[Found]) -> set[str]:
    generations = {str(each.hit.metadata[GENERATION]) for each in found if GENERATION in each.hit.metadata}
    if not generations:
        return set()
    visible = partial(repository.visible, organisation=place.organisation, generations=tuple(generations))
    return generations - await database.read(visible)
