"""Batches and their items in the database. Every function is a work for `Database.read` or `write`."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, select, text, tuple_, update

from undercroft.batches.lifecycle import cancelled
from undercroft.batches.types import Batch, Item, LineError, Outcome, Status
from undercroft.record import Usage, Who
from undercroft.storage.schema import batch_items, batches, insert

_T: Final = batches.c
_I: Final = batch_items.c
_ACTIVE: Final = text("active")
"""In the words of the index: where SQLAlchemy writes `active = 1`, SQLite does not use it."""


def add(connection: Connection, batch: Batch) -> None:
    connection.execute(insert(connection, batches).values(**_row(batch)))


def find(connection: Connection, *, organisation: str, id: str) -> Batch | None:
    """None for one that is not there or is another organisation's."""
    row = connection.execute(select(batches).where(_one(organisation, id))).one_or_none()
    return None if row is None else _batch(row)


def listed(connection: Connection, *, organisation: str, after: str | None, limit: int) -> list[Batch] | None:
    """The latest first; None when there is no batch `after`."""
    wanted = _T.organisation == organisation
    if after is not None:
        last = find(connection, organisation=organisation, id=after)
        if last is None:
            return None
        wanted = and_(wanted, tuple_(_T.created_us, _T.id) < tuple_(last.created_us, last.id))
    rows = connection.execute(select(batches).where(wanted).order_by(_T.created_us.desc(), _T.id.desc()).limit(limit))
    return [_batch(row) for row in rows]


def active(connection: Connection, *, limit: int) -> list[tuple[Batch, bool]]:
    """Those about which something is to be done, the oldest first, of all organisations; and whether some line of
    each is pending."""
    of_batch = and_(_I.organisation == _T.organisation, _I.batch == _T.id, _I.outcome == "pending")
    pending = exists().where(of_batch)
    of_them = select(batches, pending.label("pending")).where(_ACTIVE)
    rows = connection.execute(of_them.order_by(_T.created_us).limit(limit))
    return [(_batch(row), bool(row.pending)) for row in rows]


def counts(connection: Connection, *, organisation: str, id: str) -> dict[Outcome, int]:
    """How many items came to what."""
    mine = and_(_I.organisation == organisation, _I.batch == id)
    rows = connection.execute(select(_I.outcome, func.count()).where(mine).group_by(_I.outcome))
    return {row[0]: row[1] for row in rows}


def ask_cancel(connection: Connection, *, organisation: str, id: str, now_us: int) -> Batch | None:
    """Lets nothing of it be begun any more. None when there is no such batch; raises Conflict where it is too late."""
    batch = find(connection, organisation=organisation, id=id)
    if batch is None or not cancelled(batch):
        return batch
    may_be = and_(_T.status.in_(("validating", "in_progress")), _T.ending == "")
    values = {"status": "cancelling", "ending": "cancelled", "cancelling_us": now_us}
    connection.execute(update(batches).where(_one(organisation, id), may_be).values(**values))
    return find(connection, organisation=organisation, id=id)


def begin(connection: Connection, batch: Batch, *, total: int, model: str, now_us: int) -> bool:
    """All lines are right. False when something else has become of it meanwhile."""
    values = {"status": "in_progress", "total": total, "model": model, "in_progress_us": now_us}
    return _changed(connection, batch, values, where=and_(_T.status == "validating", _T.ending == ""))


def fail(connection: Connection, batch: Batch, errors: Sequence[LineError], *, now_us: int) -> bool:
    """Its input cannot be used."""
    values = {"status": "failed", "active": False, "ended_us": now_us, "errors": _plain(errors)}
    return _changed(connection, batch, values, where=and_(_T.status == "validating", _T.ending == ""))


def expire(connection: Connection, batch: Batch) -> bool:
    """Its time is over."""
    return _changed(connection, batch, {"ending": "expired"}, where=_T.ending == "")


def feed(connection: Connection, batch: Batch, items: Sequence[Item]) -> bool:
    """Takes up the next lines: those after `batch.fed`. False when they have been, or the batch is to end otherwise."""
    where = and_(_T.fed == batch.fed, _T.ending == batch.ending, _T.status == batch.status)
    if not _changed(connection, batch, {"fed": batch.fed + len(items)}, where=where):
        return False
    rows = [
        {
            "organisation": batch.organisation,
            "batch": batch.id,
            "line": item.line,
            "job": item.job,
            "custom_id": item.custom_id,
            "outcome": item.outcome,
            "answer": item.answer,
            "usage": [],
        }
        for item in items
    ]
    connection.execute(batch_items.insert(), rows)
    return True


def cut_short(connection: Connection, batch: Batch, why: LineError) -> bool:
    """No more lines can be had: those that were taken up are all there are."""
    values = {"total": batch.fed, "errors": _plain([why])}
    return _changed(connection, batch, values, where=_T.fed == batch.fed)


def record(connection: Connection, item: Item, *, organisation: str, batch: str) -> bool:
    """What a line came to: the first that is said of it counts."""
    mine = and_(_I.organisation == organisation, _I.batch == batch, _I.line == item.line)
    of_job = and_(mine, _I.job == item.job, _I.outcome == "pending")
    values = {"outcome": item.outcome, "answer": item.answer, "usage": msgspec.to_builtins(item.usage)}
    return connection.execute(update(batch_items).where(of_job).values(**values)).rowcount > 0


def pending_jobs(connection: Connection, batch: Batch, *, after: int, limit: int) -> list[tuple[int, str]]:
    """Lines past `after` that have come to nothing yet, and their jobs."""
    mine = and_(_I.organisation == batch.organisation, _I.batch == batch.id, _I.outcome == "pending", _I.line > after)
    return [
        (row.line, row.job)
        for row in connection.execute(select(_I.line, _I.job).where(mine).order_by(_I.line).limit(limit))
    ]


def page(connection: Connection, batch: Batch, *, after: int, limit: int) -> list[Item]:
    """Items by line, those past `after`."""
    mine = and_(_I.organisation == batch.organisation, _I.batch == batch.id, _I.line > after)
    rows = connection.execute(select(batch_items).where(mine).order_by(_I.line).limit(limit))
    return [
        Item(
            line=row.line, job=row.job, custom_id=row.custom_id, outcome=row.outcome, answer=row.answer,
            usage=msgspec.convert(row.usage or [], Usage),
        )
        for row in rows
    ]  # fmt: skip


def finalize(connection: Connection, batch: Batch, *, now_us: int) -> bool:
    """Its files are about to be written."""
    values: dict[str, Any] = {"finalizing_us": now_us}
    if batch.ending != "cancelled":
        values["status"] = "finalizing"
    return _changed(connection, batch, values, where=_T.status == batch.status)


def end(connection: Connection, batch: Batch, *, status: Status) -> bool:
    """Its files are there, or it has none: `batch` is what its row becomes. False when it had ended before."""
    values = {
        "status": status,
        "ended_us": batch.ended_us,
        "output_file": batch.output_file,
        "error_file": batch.error_file,
        "completed": batch.completed,
        "failed": batch.failed,
        "usage": msgspec.to_builtins(batch.usage),
    }
    return _changed(connection, batch, values, where=_T.ended_us == 0)


def clear(connection: Connection, batch: Batch, *, limit: int) -> bool:
    """Forgets some of its items, which its files hold; False when none are left, and nothing is to be done any more."""
    mine = and_(_I.organisation == batch.organisation, _I.batch == batch.id)
    lines = list(connection.execute(select(_I.line).where(mine).order_by(_I.line).limit(limit)).scalars())
    if not lines:
        _changed(connection, batch, {"active": False}, where=_T.ended_us > 0)
        return False
    connection.execute(delete(batch_items).where(mine, _I.line <= lines[-1]))
    return True


def _changed(connection: Connection, batch: Batch, values: dict[str, Any], *, where: ColumnElement[bool]) -> bool:
    mine = update(batches).where(_one(batch.organisation, batch.id), where)
    return connection.execute(mine.values(**values)).rowcount > 0


def _one(organisation: str, id: str) -> ColumnElement[bool]:
    return and_(_T.organisation == organisation, _T.id == id)


def _plain(errors: Sequence[LineError]) -> Any:
    return msgspec.to_builtins(errors)


_SAME: Final = tuple(
    name for name in Batch.__struct_fields__ if name not in ("who", "usage", "errors", "metadata", "active")
)


def _row(batch: Batch) -> dict[str, Any]:
    who = batch.who
    return {
        "organisation": who.organisation,
        "team": who.team,
        "user_id": who.user,
        "key": who.key,
        **{name: getattr(batch, name) for name in _SAME},
        "active": batch.active,
        "metadata": batch.metadata,
        "usage": msgspec.to_builtins(batch.usage),
        "errors": _plain(batch.errors),
    }


def _batch(row: Any) -> Batch:
    return Batch(
        who=Who(organisation=row.organisation, team=row.team, user=row.user_id, key=row.key),
        active=bool(row.active),
        metadata=row.metadata,
        usage=msgspec.convert(row.usage or [], Usage),
        errors=msgspec.convert(row.errors, tuple[LineError, ...]),
        **{name: getattr(row, name) for name in _SAME},
    )
