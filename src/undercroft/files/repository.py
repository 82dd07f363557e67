"""Files in the database, without their bytes. Every function is a work for `Database.read` or `write`.

A row is there before the first byte and after the last: `receiving` until all bytes have come, `stored`, then
`leaving`. Rows whose time is over, those of interrupted uploads and deletions among them, are `swept`.
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, tuple_, update

from undercroft.files.types import Arrived, Cursor, Label, StoredFile
from undercroft.record import Who
from undercroft.storage.schema import files, insert

RECEIVING_US: Final = 86_400_000_000
"""How long an upload may take before what has come of it is swept."""
LONG_AGO: Final = 1


def announce(connection: Connection, *, id: str, who: Who, now_us: int) -> None:
    """Bytes are about to come."""
    row: dict[str, Any] = {
        "organisation": who.organisation,
        "id": id,
        "team": who.team,
        "user_id": who.user,
        "key": who.key,
        "state": "receiving",
        "purpose": "",
        "filename": "",
        "size_bytes": 0,
        "created_us": now_us,
        "expires_us": now_us + RECEIVING_US,
    }
    connection.execute(insert(connection, files).values(**row).on_conflict_do_nothing())


def keep(connection: Connection, arrived: Arrived, label: Label) -> StoredFile | None:
    """All bytes have come: from now on it is a file. None when what had come was swept meanwhile."""
    organisation = arrived.who.organisation
    expires_us = 0
    if label.expires_after_s is not None:
        expires_us = arrived.created_us + label.expires_after_s * 1_000_000
    changed = connection.execute(
        update(files)
        .where(_one(organisation, arrived.id), files.c.state.in_(("receiving", "stored")))
        .values(
            state="stored",
            purpose=label.purpose,
            filename=label.filename,
            size_bytes=arrived.size_bytes,
            expires_us=expires_us,
        )
    )
    if not changed.rowcount:
        return None
    return StoredFile(
        organisation=organisation,
        id=arrived.id,
        filename=label.filename,
        purpose=label.purpose,
        size_bytes=arrived.size_bytes,
        created_us=arrived.created_us,
        expires_us=expires_us,
    )


def find(connection: Connection, *, organisation: str, id: str, now_us: int) -> StoredFile | None:
    """None for one that is not there, has expired or is another organisation's."""
    row = connection.execute(select(files).where(_one(organisation, id), _living(now_us))).one_or_none()
    return None if row is None else _file(row)


def listed(connection: Connection, cursor: Cursor, *, organisation: str, now_us: int) -> list[StoredFile] | None:
    """By time; None when there is no file `after`."""
    wanted = and_(files.c.organisation == organisation, _living(now_us))
    is_forward = cursor.order == "asc"
    if cursor.after is not None:
        last = find(connection, organisation=organisation, id=cursor.after, now_us=now_us)
        if last is None:
            return None
        place, known = tuple_(files.c.created_us, files.c.id), tuple_(last.created_us, last.id)
        wanted = and_(wanted, place > known if is_forward else place < known)
    if cursor.purpose is not None:
        wanted = and_(wanted, files.c.purpose == cursor.purpose)
    columns = (files.c.created_us, files.c.id)
    order = [column.asc() if is_forward else column.desc() for column in columns]
    return [_file(row) for row in connection.execute(select(files).where(wanted).order_by(*order).limit(cursor.limit))]


def leave(connection: Connection, *, organisation: str, id: str, now_us: int) -> bool:
    """From now on nobody sees it; False when nobody did before."""
    gone = update(files).where(_one(organisation, id), _living(now_us))
    return connection.execute(gone.values(state="leaving", expires_us=LONG_AGO)).rowcount > 0


def abandon(connection: Connection, *, organisation: str, id: str) -> None:
    """An upload came to nothing: what has come of it is swept."""
    gone = update(files).where(_one(organisation, id), files.c.state == "receiving")
    connection.execute(gone.values(state="leaving", expires_us=LONG_AGO))


def over(connection: Connection, *, now_us: int, limit: int) -> list[tuple[str, str]]:
    """Organisation and id of some whose time is over, of all organisations."""
    ended = and_(files.c.expires_us > 0, files.c.expires_us <= now_us)
    rows = connection.execute(select(files.c.organisation, files.c.id).where(ended).limit(limit))
    return [(row.organisation, row.id) for row in rows]


def forget(connection: Connection, *, organisation: str, id: str) -> None:
    """Its bytes are gone, and so is its row."""
    connection.execute(delete(files).where(_one(organisation, id), files.c.expires_us > 0))


def _one(organisation: str, id: str) -> ColumnElement[bool]:
    return and_(files.c.organisation == organisation, files.c.id == id)


def _living(now_us: int) -> ColumnElement[bool]:
    return and_(files.c.state == "stored", or_(files.c.expires_us == 0, files.c.expires_us > now_us))


def _file(row: Any) -> StoredFile:
    return StoredFile(
        organisation=row.organisation,
        id=row.id,
        filename=row.filename,
        purpose=row.purpose,
        size_bytes=row.size_bytes,
        created_us=row.created_us,
        expires_us=row.expires_us,
    )
