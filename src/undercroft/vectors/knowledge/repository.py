"""Vector stores in the database. Every function is a work for `Database.read` or `write`."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, or_, select, tuple_, update

from undercroft.storage.schema import insert, vector_store_batches, vector_store_files, vector_stores
from undercroft.vectors.knowledge.types import DAY_US, Cursor, Knowledge

ACTIVE_AGAIN_US = 60_000_000
"""Last use is written down once a minute."""
SWEPT = 20


def make(connection: Connection, made: Knowledge) -> None:
    row = {field: getattr(made, field) for field in Knowledge.__struct_fields__}
    connection.execute(insert(connection, vector_stores).values(**row, is_gone=False))


def find(connection: Connection, *, organisation: str, id: str) -> Knowledge | None:
    """None for one that is not there, is being deleted or is another organisation's."""
    row = connection.execute(select(vector_stores).where(_seen(organisation), vector_stores.c.id == id)).one_or_none()
    return None if row is None else _knowledge(row)


def listed(connection: Connection, cursor: Cursor, *, organisation: str) -> list[Knowledge] | None:
    """One more than asked for, where there is; None for a cursor that is not there."""
    rows = page(connection, vector_stores, cursor, _seen(organisation))
    return None if rows is None else [_knowledge(row) for row in rows]


def change(connection: Connection, changed: Knowledge) -> None:
    """Name, metadata and expiry."""
    values = {
        field: getattr(changed, field) for field in ("name", "metadata", "expires_days", "expires_us", "active_us")
    }
    where = and_(_seen(changed.organisation), vector_stores.c.id == changed.id)
    connection.execute(update(vector_stores).where(where).values(**values))


def touch(connection: Connection, used: Knowledge, *, now_us: int) -> None:
    """It is in use. One that has expired stays so."""
    table = vector_stores
    expires_us = None if used.expires_days is None else now_us + used.expires_days * DAY_US
    where = and_(
        _seen(used.organisation), table.c.id == used.id, or_(table.c.expires_us.is_(None), table.c.expires_us > now_us)
    )
    connection.execute(update(table).where(where).values(active_us=now_us, expires_us=expires_us))


def leave(connection: Connection, *, organisation: str, id: str) -> bool:
    """From now on nobody sees it nor its files; False when nobody did before."""
    gone = update(vector_stores).where(_seen(organisation), vector_stores.c.id == id).values(is_gone=True)
    if not connection.execute(gone).rowcount:
        return False
    clear(connection, organisation=organisation, id=id)
    return True


def clear(connection: Connection, *, organisation: str, id: str) -> None:
    """No files are in it any more."""
    for table in (vector_store_files, vector_store_batches):
        where = and_(table.c.organisation == organisation, table.c.vector_store == id)
        connection.execute(delete(table).where(where))


def forget(connection: Connection, *, organisation: str, id: str) -> None:
    """Its points are deleted, and so is its row."""
    where = and_(vector_stores.c.organisation == organisation, vector_stores.c.id == id, vector_stores.c.is_gone)
    connection.execute(delete(vector_stores).where(where))


def leaving(connection: Connection) -> list[Knowledge]:
    """Some whose deletion broke off, of all organisations."""
    return [
        _knowledge(row) for row in connection.execute(select(vector_stores).where(vector_stores.c.is_gone).limit(SWEPT))
    ]


def expired(connection: Connection, *, now_us: int) -> list[Knowledge]:
    """Some whose time is over and that still have files, of all organisations."""
    files = vector_store_files
    has_files = (
        select(files.c.id)
        .where(files.c.organisation == vector_stores.c.organisation, files.c.vector_store == vector_stores.c.id)
        .exists()
    )
    wanted = select(vector_stores).where(vector_stores.c.expires_us <= now_us, has_files).limit(SWEPT)
    return [_knowledge(row) for row in connection.execute(wanted)]


def has_work(connection: Connection, *, now_us: int) -> bool:
    """Whether there is anything to sweep."""
    return bool(expired(connection, now_us=now_us) or leaving(connection))


def page(connection: Connection, table: Table, cursor: Cursor, wanted: ColumnElement[bool]) -> list[Any] | None:
    """Rows by time of making, one more than asked for; None when `after` or `before` names none of them."""
    key = tuple_(table.c.created_us, table.c.id)
    is_forward = cursor.order == "asc"
    for end, is_after in ((cursor.after, True), (cursor.before, False)):
        if end is None:
            continue
        row = connection.execute(select(table.c.created_us).where(wanted, table.c.id == end)).one_or_none()
        if row is None:
            return None
        place = tuple_(row.created_us, end)
        wanted = and_(wanted, key > place if is_after == is_forward else key < place)
    columns = (table.c.created_us, table.c.id)
    order = [column.asc() if is_forward else column.desc() for column in columns]
    return list(connection.execute(select(table).where(wanted).order_by(*order).limit(cursor.limit + 1)))


def _seen(organisation: str) -> ColumnElement[bool]:
    return and_(vector_stores.c.organisation == organisation, ~vector_stores.c.is_gone)


def _knowledge(row: Any) -> Knowledge:
    return Knowledge(**{field: getattr(row, field) for field in Knowledge.__struct_fields__})
