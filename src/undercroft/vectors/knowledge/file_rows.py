"""The files of vector stores, and batches of them, in the database. Works for `Database.read` or `write`.

What a file's row says of a file in progress is believed only while its job may still come to an end.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, update

from undercroft.jobs.types import ENDED, Failure
from undercroft.storage.schema import insert, jobs, vector_store_batches, vector_store_files
from undercroft.vectors.ingestion.types import Ingested, Plan
from undercroft.vectors.knowledge import repository
from undercroft.vectors.knowledge.types import Batch, Counts, Cursor, ErrorCode, FileStatus, KnowledgeFile

table = vector_store_files


def put(connection: Connection, file: KnowledgeFile, *, organisation: str) -> None:
    """A file that is to be taken in; one that is there already is taken in anew."""
    row: dict[str, Any] = {
        "organisation": organisation,
        "vector_store": file.store,
        "id": file.id,
        "batch": file.batch,
        "job": file.job,
        "status": file.status,
        "error_code": file.error_code,
        "error": file.error,
        "attributes": dict(file.attributes),
        "strategy": file.plan.strategy,
        "size_tokens": file.plan.size,
        "overlap_tokens": file.plan.overlap,
        "usage_bytes": file.usage_bytes,
        "created_us": file.created_us,
    }
    keys = ["organisation", "vector_store", "id"]
    changes = {name: value for name, value in row.items() if name not in keys}
    fresh = insert(connection, table).values(**row)
    connection.execute(fresh.on_conflict_do_update(index_elements=keys, set_=changes))


def find(connection: Connection, *, organisation: str, store: str, id: str) -> KnowledgeFile | None:
    row = connection.execute(select(table).where(_one(organisation, store, id))).one_or_none()
    return None if row is None else _with_jobs(connection, organisation, [row])[0]


def listed(
    connection: Connection,
    cursor: Cursor,
    *,
    organisation: str,
    store: str,
    batch: str | None = None,
    status: FileStatus | None = None,
) -> list[KnowledgeFile] | None:
    """One more than asked for, where there is; None for a cursor that is not there."""
    wanted = _of(organisation, store)
    if batch is not None:
        wanted = and_(wanted, table.c.batch == batch)
    if status is not None:
        wanted = and_(wanted, _is_status(organisation, status))
    rows = repository.page(connection, table, cursor, wanted)
    return None if rows is None else _with_jobs(connection, organisation, rows)


def complete(connection: Connection, *, organisation: str, store: str, id: str, job: str, ingested: Ingested) -> bool:
    """It is seen from now on; False when it is no longer this job that takes it in."""
    where = and_(_one(organisation, store, id), table.c.job == job, table.c.status == "in_progress")
    values = {"status": "completed", "usage_bytes": ingested.text_bytes}
    return connection.execute(update(table).where(where).values(**values)).rowcount > 0


def fail(
    connection: Connection, *, organisation: str, store: str, id: str, job: str, code: ErrorCode, reason: str
) -> None:
    """Nothing can be read from it."""
    where = and_(_one(organisation, store, id), table.c.job == job, table.c.status == "in_progress")
    connection.execute(update(table).where(where).values(status="failed", error_code=code, error=reason))


def relabel(connection: Connection, attributes: Mapping[str, Any], *, organisation: str, store: str, id: str) -> None:
    connection.execute(update(table).where(_one(organisation, store, id)).values(attributes=dict(attributes)))


def remove(connection: Connection, *, organisation: str, store: str, id: str) -> bool:
    """False when there was none."""
    return connection.execute(delete(table).where(_one(organisation, store, id))).rowcount > 0


def cancel(connection: Connection, *, organisation: str, batch: str) -> list[str]:
    """Of a batch, what is not done will not be. Returns the jobs that are at it."""
    table_of_batches = vector_store_batches
    is_it = and_(table_of_batches.c.organisation == organisation, table_of_batches.c.id == batch)
    connection.execute(update(table_of_batches).where(is_it).values(cancelled=True))
    where = and_(table.c.organisation == organisation, table.c.batch == batch, table.c.status == "in_progress")
    stopped = update(table).where(where).values(status="cancelled").returning(table.c.job)
    return [row.job for row in connection.execute(stopped)]


def make_batch(connection: Connection, batch: Batch, *, organisation: str) -> None:
    row = {"id": batch.id, "vector_store": batch.store, "cancelled": batch.is_cancelled, "created_us": batch.created_us}
    connection.execute(insert(connection, vector_store_batches).values(organisation=organisation, **row))


def find_batch(connection: Connection, *, organisation: str, store: str, id: str) -> Batch | None:
    batches = vector_store_batches
    where = and_(batches.c.organisation == organisation, batches.c.vector_store == store, batches.c.id == id)
    row = connection.execute(select(batches).where(where)).one_or_none()
    if row is None:
        return None
    return Batch(id=row.id, store=row.vector_store, is_cancelled=row.cancelled, created_us=row.created_us)


def counts(connection: Connection, *, organisation: str, stores: Sequence[str]) -> dict[str, Counts]:
    """Of several vector stores."""
    return _counted(connection, organisation, table.c.vector_store, stores)


def batch_counts(connection: Connection, *, organisation: str, batch: str) -> Counts:
    return _counted(connection, organisation, table.c.batch, [batch])[batch]


def _counted(
    connection: Connection, organisation: str, column: ColumnElement[str], values: Sequence[str]
) -> dict[str, Counts]:
    found = {value: Counts() for value in values}
    columns = (column.label("value"), table.c.status, jobs.c.state.label("state"))
    rows = connection.execute(
        select(*columns, func.count().label("count"), func.sum(table.c.usage_bytes).label("usage_bytes"))
        .select_from(table.outerjoin(jobs, _their_jobs()))
        .where(table.c.organisation == organisation, column.in_(values))
        .group_by(*columns)
    )
    for row in rows:
        status, known = _status(row.status, row.state), found[row.value]
        changes: dict[str, int] = {status: getattr(known, status) + row.count}
        if status == "completed":
            changes["usage_bytes"] = known.usage_bytes + int(row.usage_bytes)
        found[row.value] = msgspec.structs.replace(known, **changes)
    return found


def _their_jobs() -> ColumnElement[bool]:
    return and_(jobs.c.organisation == table.c.organisation, jobs.c.id == table.c.job)


def _status(status: FileStatus, state: str | None) -> FileStatus:
    """A job that has come to its end without the file, or is gone, has failed it."""
    if status != "in_progress" or (state is not None and state not in ENDED):
        return status
    return "cancelled" if state == "cancelled" else "failed"


def _is_status(organisation: str, status: FileStatus) -> ColumnElement[bool]:
    """The same as a condition."""
    mine = and_(jobs.c.organisation == organisation, jobs.c.id == table.c.job)
    is_running = select(jobs.c.id).where(mine, jobs.c.state.not_in(ENDED)).exists()
    is_cancelled = select(jobs.c.id).where(mine, jobs.c.state == "cancelled").exists()
    is_open = table.c.status == "in_progress"
    match status:
        case "in_progress":
            return and_(is_open, is_running)
        case "cancelled":
            return (table.c.status == "cancelled") | and_(is_open, is_cancelled)
        case "failed":
            return (table.c.status == "failed") | and_(is_open, ~is_running, ~is_cancelled)
        case _:
            return table.c.status == "completed"


def _with_jobs(connection: Connection, organisation: str, rows: Iterable[Any]) -> list[KnowledgeFile]:
    rows = list(rows)
    open_jobs = [row.job for row in rows if row.status == "in_progress"]
    states = {}
    if open_jobs:
        where = and_(jobs.c.organisation == organisation, jobs.c.id.in_(open_jobs))
        states = {row.id: row for row in connection.execute(select(jobs.c.id, jobs.c.state, jobs.c.error).where(where))}
    return [_file(row, states.get(row.job)) for row in rows]


def _file(row: Any, job: Any) -> KnowledgeFile:
    status = _status(row.status, None if job is None else job.state)
    code, reason = row.error_code, row.error
    if status == "failed" and row.status != "failed":
        code, reason = "server_error", "The job that took the file in is gone."
        if job is not None and job.error is not None:
            reason = _failures.decode(job.error).message
    return KnowledgeFile(
        store=row.vector_store,
        id=row.id,
        batch=row.batch,
        job=row.job,
        status=status,
        error_code=code,
        error=reason,
        attributes=row.attributes,
        plan=Plan(strategy=row.strategy, size=row.size_tokens, overlap=row.overlap_tokens),
        usage_bytes=row.usage_bytes,
        created_us=row.created_us,
    )


_failures = msgspec.json.Decoder(Failure)


def _of(organisation: str, store: str) -> ColumnElement[bool]:
    return and_(table.c.organisation == organisation, table.c.vector_store == store)


def _one(organisation: str, store: str, id: str) -> ColumnElement[bool]:
    return and_(_of(organisation, store), table.c.id == id)
