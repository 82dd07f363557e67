"""Contents of calls, in a table of their own that forgets by itself. Every function is a work for `Database`."""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, and_, delete, select, tuple_

from undercroft.storage.schema import call_contents, insert

SWEPT: Final = 500
"""Expired contents that one sweep deletes, so that it holds nobody up for long."""


class KeptContent(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked and answered, as JSON; cut where it was longer than is kept."""

    organisation: str
    id: str
    request: str
    answer: str
    created_us: int
    expires_us: int


def keep(connection: Connection, contents: Sequence[KeptContent]) -> None:
    """Stores them; one that is there already stays as it was."""
    rows = [msgspec.structs.asdict(content) for content in contents]
    connection.execute(insert(connection, call_contents).on_conflict_do_nothing(), rows)


def find(connection: Connection, id: str, *, organisation: str, now_us: int) -> KeptContent | None:
    """None for one that was not kept, has expired or is another organisation's."""
    table = call_contents.c
    wanted = and_(table.organisation == organisation, table.id == id, table.expires_us > now_us)
    row = connection.execute(select(call_contents).where(wanted)).mappings().one_or_none()
    return None if row is None else KeptContent(**row)


def remove(connection: Connection, id: str, *, organisation: str) -> bool:
    """False when there was none of that id."""
    table = call_contents.c
    return (
        connection.execute(delete(call_contents).where(table.organisation == organisation, table.id == id)).rowcount > 0
    )


def sweep(connection: Connection, *, now_us: int) -> int:
    """Deletes what has expired, some of it; returns how much."""
    table = call_contents.c
    expired = select(table.organisation, table.id).where(table.expires_us <= now_us).limit(SWEPT)
    return connection.execute(delete(call_contents).where(tuple_(table.organisation, table.id).in_(expired))).rowcount
