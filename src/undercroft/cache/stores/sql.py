"""Answers in the database, for all processes that share it."""

from typing import Any, Final, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, and_, delete, func, select, tuple_

from undercroft.cache.entry import Entry, decode, encode
from undercroft.clock import Clock
from undercroft.storage.schema import cache_entries, insert
from undercroft.storage.transaction import Work

T = TypeVar("T")

SWEPT: Final = 100
"""Expired answers that are deleted beside each new one: more than come, so that none are left behind."""
TRIM_EVERY: Final = 64
"""Answers between two looks at how much room all of them take."""
TRIMMED_TO: Final = 0.9
"""Of the room, when there was too much."""


class Works(Protocol):
    """Runs works in transactions. Raises Unavailable."""

    async def read(self, work: Work[T], /) -> T: ...
    async def write(self, work: Work[T], /) -> T: ...


class SqlCache:
    """A CacheStore that drops the oldest when it is full; how full it is, it looks every so many answers."""

    def __init__(self, works: Works, *, max_entries: int, max_bytes: int, clock: Clock) -> None:
        self._works = works
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock = clock
        self._until_trim = 0

    async def get(self, organisation: str, id: str, /) -> Entry | None:
        now_us = self._clock.now_us()
        data = await self._works.read(lambda connection: _find(connection, organisation, id, now_us))
        if data is None:
            return None
        try:
            return decode(data)
        except msgspec.DecodeError:
            return None  # another version's; it is written anew

    async def put(self, organisation: str, id: str, entry: Entry, /) -> None:
        data, now_us = encode(entry), self._clock.now_us()
        trims = self._until_trim <= 0
        self._until_trim = TRIM_EVERY if trims else self._until_trim - 1

        def work(connection: Connection) -> None:
            _keep(connection, organisation, id, entry, data)
            _sweep(connection, now_us)
            if trims:
                trim(connection, max_entries=self._max_entries, max_bytes=self._max_bytes)

        await self._works.write(work)

    async def remove(self, organisation: str, id: str, /) -> bool:
        return await self._works.write(lambda connection: _remove(connection, organisation, id))

    async def close(self) -> None:
        """What it has is the database's."""


def _find(connection: Connection, organisation: str, id: str, now_us: int) -> bytes | None:
    table = cache_entries.c
    wanted = and_(table.organisation == organisation, table.id == id, table.expires_us > now_us)
    data: bytes | None = connection.execute(select(table.entry).where(wanted)).scalar_one_or_none()
    return data


def _keep(connection: Connection, organisation: str, id: str, entry: Entry, data: bytes) -> None:
    changes: dict[str, Any] = {
        "entry": data,
        "size_bytes": len(data),
        "created_us": entry.created_us,
        "expires_us": entry.expires_us,
    }
    fresh = insert(connection, cache_entries).values(organisation=organisation, id=id, **changes)
    connection.execute(fresh.on_conflict_do_update(index_elements=["organisation", "id"], set_=changes))


def _remove(connection: Connection, organisation: str, id: str) -> bool:
    table = cache_entries.c
    return (
        connection.execute(delete(cache_entries).where(table.organisation == organisation, table.id == id)).rowcount > 0
    )


def _sweep(connection: Connection, now_us: int) -> None:
    table = cache_entries.c
    expired = select(table.organisation, table.id).where(table.expires_us <= now_us).limit(SWEPT)
    connection.execute(delete(cache_entries).where(tuple_(table.organisation, table.id).in_(expired)))


def trim(connection: Connection, *, max_entries: int, max_bytes: int) -> None:
    """Deletes the oldest answers until there is room again."""
    table = cache_entries.c
    count, size = connection.execute(
        select(func.count(), func.coalesce(func.sum(table.size_bytes), 0)).select_from(cache_entries)
    ).one()
    if count <= max_entries and size <= max_bytes:
        return
    room, most = int(max_bytes * TRIMMED_TO), int(max_entries * TRIMMED_TO)
    newest = select(
        table.organisation,
        table.id,
        func.row_number().over(order_by=(table.created_us.desc(), table.id)).label("place"),
        func.sum(table.size_bytes).over(order_by=(table.created_us.desc(), table.id)).label("taken"),
    ).subquery()
    oldest = select(newest.c.organisation, newest.c.id).where((newest.c.place > most) | (newest.c.taken > room))
    connection.execute(delete(cache_entries).where(tuple_(table.organisation, table.id).in_(oldest)))
