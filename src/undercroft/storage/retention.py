"""How long rows are kept: by table, which setting says so, and deleting those that have no sweep of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, select, tuple_

from undercroft.storage.schema import batch_items, batches, calls, feedback, slices

DELETED_AT_ONCE: Final = 500
"""Rows of one transaction, so that it holds nobody up for long."""
DAY_US: Final = 86_400_000_000

NEVER: Final = "kept until it is deleted by hand"
GROWS: Final = "kept for ever: it is the record of what was done"
PASSING: Final = "deleted by itself, when what it is for is over"
GOVERNED: Final[Mapping[str, str]] = {
    "calls": "[retention] calls_days",
    "call_contents": "[ledger] content_days",
    "batches": "[retention] batches_days",
    "batch_items": "[retention] batches_days",
    "feedback": "[retention] feedback_days",
    "chat_completions": "[responses] keep_days",
    "responses": "[responses] keep_days",
    "response_events": "[responses] keep_days",
    "jobs": "[jobs] keep_days, keep_dead_days",
    "job_attempts": "[jobs] keep_days, keep_dead_days",
    "job_links": "[jobs] keep_days, keep_dead_days",
    "job_outputs": "[jobs] keep_days, keep_dead_days",
    "events": "[events] keep_days",
    "event_deliveries": "[events] keep_days",
    "spans": "[telemetry] traces_kept",
    "error_groups": "[telemetry] errors_kept",
    "cache_entries": "[cache] ttl_s, max_entries, max_bytes",
    "files": "each file's own `expires_after`",
    "blob_pieces": "each file's own `expires_after`",
    "vector_stores": "each store's own `expires_after`",
    "vector_store_files": "each store's own `expires_after`",
    "vector_store_batches": "each store's own `expires_after`",
    "ingested_sources": "each store's own `expires_after`",
    "audit": GROWS,
    "release_moves": GROWS,
    "organisations": NEVER,
    "teams": NEVER,
    "users": NEVER,
    "accounts": NEVER,
    "api_keys": NEVER,
    "limits": NEVER,
    "secrets": NEVER,
    "webhooks": NEVER,
    "signing_secrets": NEVER,
    "content_versions": NEVER,
    "content_labels": NEVER,
    "releases": NEVER,
    "release_aliases": NEVER,
    "rollouts": NEVER,
    "schedules": NEVER,
    "event_marks": PASSING,
    "sessions": PASSING,
    "sign_in_failures": PASSING,
    "slices": PASSING,
    "spool_offsets": PASSING,
    "duties": PASSING,
    "versions": PASSING,
}
"""Of every table: what says how long its rows are kept."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Days after which rows go; None: never."""

    calls_days: int | None = None
    batches_days: int | None = None
    feedback_days: int | None = None


def sweep_some(connection: Connection, *, terms: Terms, now_us: int) -> int:
    """Deletes the oldest rows whose time is over, some of each table; how many: 0 when nothing is left to do."""
    count = 0
    if terms.calls_days is not None:
        count += _calls(connection, before_us=now_us - terms.calls_days * DAY_US)
    if terms.batches_days is not None:
        count += _batches(connection, before_us=now_us - terms.batches_days * DAY_US)
    if terms.feedback_days is not None:
        old = feedback.c.created_us < now_us - terms.feedback_days * DAY_US
        keys = (feedback.c.organisation, feedback.c.id)
        some = select(*keys).where(old).limit(DELETED_AT_ONCE)
        count += connection.execute(delete(feedback).where(tuple_(*keys).in_(some))).rowcount
    return count


def _calls(connection: Connection, *, before_us: int) -> int:
    """A budget without an end is the sum of all calls there ever were: those of its organisation stay."""
    counted_for_ever = exists().where(slices.c.organisation == calls.c.organisation, slices.c.period == "total")
    old: ColumnElement[bool] = and_(calls.c.started_us < before_us, ~counted_for_ever)
    keys = (calls.c.organisation, calls.c.id)
    some = select(*keys).where(old).limit(DELETED_AT_ONCE)
    return connection.execute(delete(calls).where(tuple_(*keys).in_(some))).rowcount


def _batches(connection: Connection, *, before_us: int) -> int:
    old = and_(batches.c.ended_us > 0, batches.c.ended_us < before_us, ~batches.c.active)
    keys = (batches.c.organisation, batches.c.id)
    ended = connection.execute(select(*keys).where(old).order_by(batches.c.ended_us).limit(1)).all()
    count = 0
    for organisation, batch in ended:
        of_it = and_(batch_items.c.organisation == organisation, batch_items.c.batch == batch)
        some = select(batch_items.c.line).where(of_it).limit(DELETED_AT_ONCE)
        count += connection.execute(delete(batch_items).where(of_it, batch_items.c.line.in_(some))).rowcount
        if count < DELETED_AT_ONCE:
            gone = delete(batches).where(batches.c.organisation == organisation, batches.c.id == batch)
            count += connection.execute(gone).rowcount
    return count
