"""Limits in the database, and what a process that died had used of them."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, RowMapping, and_, delete, func, or_, select

from undercroft.errors import RateLimited
from undercroft.ledger.limits import Limit, Scope, counted_in
from undercroft.ledger.slices import Slice, Window
from undercroft.storage.schema import calls, insert, limits, spool_offsets

WAS_LET_IN: Final = or_(calls.c.status != RateLimited.status, calls.c.attempts > 0)
"""What a limit turned away is counted in none; an answer that a limit has cut in the middle is, with what was said."""


def stored_limits(connection: Connection) -> list[Limit]:
    """Every limit of every organisation."""
    return [_limit_of(row) for row in connection.execute(select(limits).order_by(*limits.primary_key)).mappings()]


def limits_of(connection: Connection, *, organisation: str, scope: Scope, subject: str) -> list[Limit]:
    """Those of one subject."""
    own = and_(limits.c.organisation == organisation, limits.c.scope == scope, limits.c.subject == subject)
    rows = connection.execute(select(limits).where(own).order_by(*limits.primary_key)).mappings()
    return [_limit_of(row) for row in rows]


def set_limits(
    connection: Connection, wanted: Sequence[Limit], *, organisation: str, scope: Scope, subject: str, now_us: int
) -> None:
    """Replaces the limits of one subject. What has been used of them stays counted."""
    own = and_(limits.c.organisation == organisation, limits.c.scope == scope, limits.c.subject == subject)
    connection.execute(delete(limits).where(own))
    if wanted:
        connection.execute(insert(connection, limits), list(_rows(wanted, organisation=organisation, now_us=now_us)))


def _rows(wanted: Iterable[Limit], *, organisation: str, now_us: int) -> Iterable[dict[str, object]]:
    for limit in wanted:
        yield {**msgspec.structs.asdict(limit), "organisation": organisation, "created_us": now_us}


def _limit_of(row: RowMapping) -> Limit:
    return Limit(**{name: row[name] for name in Limit.__struct_fields__})


def spent_by(connection: Connection, *, held: Slice) -> int | None:
    """What a dead process used of a slice; None while its records are still on their way to the ledger."""
    from undercroft.ledger.shipping import GONE  # with all of shipping, which functions never need

    is_gone = connection.execute(
        select(spool_offsets.c.spool).where(
            spool_offsets.c.spool == held.owner, spool_offsets.c.segment == GONE.segment
        )
    ).first()
    if is_gone is None:
        return None
    return used_in(connection, held.window, spool=held.owner)


def used_in(connection: Connection, window: Window, *, spool: str | None = None) -> int:
    """What the ledger has in a window: everything, or what one process booked. Calls under way are not in it."""
    counted = counted_in(window)
    if counted.measure == "concurrent":
        return 0
    subject = {"organisation": calls.c.organisation, "team": calls.c.team, "user": calls.c.user_id, "key": calls.c.key}
    used = {
        "requests": func.count(),
        "tokens": func.coalesce(func.sum(calls.c.input_tokens + calls.c.output_tokens), 0),
        "spend": func.coalesce(func.sum(calls.c.cost_nano), 0),
    }
    query = select(used[counted.measure]).where(
        calls.c.organisation == window.organisation,
        subject[counted.scope] == counted.subject,
        calls.c.started_us >= counted.starts_us,
        calls.c.started_us < window.ends_us,
        WAS_LET_IN,
    )
    if counted.model:
        query = query.where(calls.c.model == counted.model)
    if spool is not None:
        query = query.where(calls.c.spool == spool)
    return int(connection.execute(query).scalar_one())
