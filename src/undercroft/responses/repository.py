"""Responses in the database. Every function is a work for `Database.read` or `write`."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, literal, select, update

from undercroft.record import Who
from undercroft.responses.types import Kept
from undercroft.storage.duties import database_now
from undercroft.storage.schema import insert, response_events, responses
from undercroft.wire.openai.responses import ACTIVE, Ended

MAX_TURNS: Final = 1000
"""Of one conversation."""
SWEPT: Final = 500
"""Expired responses that one sweep deletes, so that it holds nobody up for long."""


def keep(connection: Connection, kept: Kept, *, owner: str = "", lease_us: int = 0, now_us: int = 0) -> None:
    """Stores a response. A provider that gives an id twice overwrites: the later answer is what its caller means."""
    row = {
        "organisation": kept.who.organisation,
        "id": kept.ended.id,
        "team": kept.who.team,
        "user_id": kept.who.user,
        "key": kept.who.key,
        "model": kept.ended.model,
        "status": kept.ended.status,
        "background": kept.is_background,
        "relayed": kept.is_relayed,
        "previous": kept.previous,
        "input": kept.input.decode(),
        "body": kept.ended.body.decode(),
        "created_us": kept.created_us,
        "expires_us": kept.expires_us,
        "call": kept.call or None,
        "owner": owner,
        "lease_until_us": database_now(connection, now_us) + lease_us if owner else 0,
    }
    changes = {name: value for name, value in row.items() if name not in ("organisation", "id")}
    fresh = insert(connection, responses).values(**row)
    connection.execute(fresh.on_conflict_do_update(index_elements=["organisation", "id"], set_=changes))


def find(connection: Connection, *, organisation: str, id: str, now_us: int) -> Kept | None:
    """None for one that is not there, has expired or is another organisation's."""
    lapsed = (responses.c.lease_until_us <= database_now(connection, now_us)).label("is_lapsed")
    wanted = and_(_is(organisation, id), responses.c.expires_us > now_us)
    row = connection.execute(select(responses, lapsed).where(wanted)).mappings().one_or_none()
    return None if row is None else _kept(row, is_lapsed=bool(row["is_lapsed"]))


def conversation(connection: Connection, *, organisation: str, id: str, now_us: int) -> list[Kept]:
    """The response and what it continues, oldest first, as far back as there is anything."""
    living = and_(responses.c.organisation == organisation, responses.c.expires_us > now_us)
    last = select(responses.c.id, responses.c.previous, literal(0).label("back")).where(living, responses.c.id == id)
    chain = last.cte("chain", recursive=True)
    earlier = select(responses.c.id, responses.c.previous, chain.c.back + 1).where(
        living, responses.c.id == chain.c.previous, responses.c.id != chain.c.id, chain.c.back < MAX_TURNS
    )
    chain = chain.union_all(earlier)
    found = (
        select(responses)
        .join(chain, responses.c.id == chain.c.id)
        .where(responses.c.organisation == organisation)
        .order_by(chain.c.back.desc())
    )
    return [_kept(row) for row in connection.execute(found).mappings()]


def change(
    connection: Connection,
    ended: Ended,
    *,
    organisation: str,
    is_relayed: bool = False,
    events: tuple[int, Sequence[bytes]] = (0, ()),
    only_lapsed_at_us: int | None = None,
) -> bool:
    """How a response that is being answered stands now, with its latest events; False when it has come to its end
    already: its first end counts."""
    where = and_(_is(organisation, ended.id), responses.c.status.in_(ACTIVE))
    if only_lapsed_at_us is not None:
        where = and_(where, responses.c.lease_until_us <= database_now(connection, only_lapsed_at_us))
    values = {"status": ended.status, "body": ended.body.decode(), "model": ended.model, "relayed": is_relayed}
    if connection.execute(update(responses).where(where).values(**values)).rowcount == 0:
        return False
    add_events(connection, organisation=organisation, id=ended.id, first=events[0], frames=events[1])
    return True


def add_events(connection: Connection, *, organisation: str, id: str, first: int, frames: Sequence[bytes]) -> None:
    """Events from number `first` on."""
    if not frames:
        return
    row = {"first": first, "last": first + len(frames) - 1, "frames": b"".join(frames).decode()}
    fresh = insert(connection, response_events).values(organisation=organisation, response=id, **row)
    connection.execute(fresh.on_conflict_do_nothing())


def events_after(connection: Connection, *, organisation: str, id: str, after: int) -> list[tuple[int, bytes]]:
    """Rows of events with the number of each row's first, from the row with the first event past `after`."""
    table = response_events
    wanted = and_(table.c.organisation == organisation, table.c.response == id, table.c.last > after)
    rows = connection.execute(select(table.c.first, table.c.frames).where(wanted).order_by(table.c.first))
    return [(row.first, row.frames.encode()) for row in rows]


def renew(connection: Connection, *, owner: str, lease_us: int, now_us: int) -> set[str]:
    """Renews the lease on everything `owner` answers; what is not among the ids has been ended by somebody else."""
    until = database_now(connection, now_us) + lease_us
    mine = and_(responses.c.owner == owner, responses.c.status.in_(ACTIVE))
    renewed = update(responses).where(mine).values(lease_until_us=until).returning(responses.c.id)
    return {row.id for row in connection.execute(renewed)}


def remove(connection: Connection, *, organisation: str, id: str) -> bool:
    """False when there was none."""
    of_it = and_(response_events.c.organisation == organisation, response_events.c.response == id)
    connection.execute(delete(response_events).where(of_it))
    return connection.execute(delete(responses).where(_is(organisation, id))).rowcount > 0


def forget(connection: Connection, *, now_us: int) -> int:
    """Deletes some of what has expired, of all organisations; 0 when nothing was left to delete."""
    expired = select(responses.c.organisation, responses.c.id).where(responses.c.expires_us <= now_us).limit(SWEPT)
    rows = connection.execute(expired).all()
    for row in rows:
        remove(connection, organisation=row.organisation, id=row.id)
    return len(rows)


def _is(organisation: str, id: str) -> ColumnElement[bool]:
    return and_(responses.c.organisation == organisation, responses.c.id == id)


def _kept(row: "RowMapping | dict[str, Any]", *, is_lapsed: bool = False) -> Kept:
    return Kept(
        who=Who(organisation=row["organisation"], team=row["team"], user=row["user_id"], key=row["key"]),
        ended=Ended(id=row["id"], status=row["status"], model=row["model"], body=row["body"].encode()),
        input=row["input"].encode(),
        previous=row["previous"],
        is_background=row["background"],
        is_relayed=row["relayed"],
        created_us=row["created_us"],
        expires_us=row["expires_us"],
        call=row["call"] or "",
        is_lapsed=is_lapsed,
    )
