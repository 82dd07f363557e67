"""The latest traces, kept in the database where no collector takes them."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import astuple
from sqlalchemy import Connection, delete, func, select

from undercroft.errors import NotFound
from undercroft.storage.bulk import insert_new
from undercroft.storage.schema import spans
from undercroft.telemetry.spans import Span

ORGANISATION: Final = "undercroft.organisation"
"""The attribute that says whose a span is."""
ROWS_AT_ONCE: Final = 200


class TraceLine(msgspec.Struct, frozen=True, kw_only=True):
    """A trace as a list shows it, by its first span."""

    trace: str
    name: str
    started_us: int
    duration_us: int
    spans: int
    errors: int


def keep_spans(connection: Connection, found: Sequence[Span]) -> None:
    """Adds spans; the same again changes nothing."""
    for start in range(0, len(found), ROWS_AT_ONCE):
        some = found[start : start + ROWS_AT_ONCE]
        columns = dict(zip(Span.__struct_fields__, zip(*map(astuple, some), strict=True), strict=True))
        organisations = [str(span.attributes.get(ORGANISATION, "default")) for span in some]
        insert_new(connection, spans, {"organisation": organisations, **columns})


def prune_traces(connection: Connection, *, keep: int) -> None:
    """Deletes all but the latest, of each organisation."""
    for organisation in connection.execute(select(spans.c.organisation).distinct()).scalars().all():
        own = spans.c.organisation == organisation
        latest = func.max(spans.c.started_us)
        old = select(spans.c.trace).where(own).group_by(spans.c.trace).order_by(latest.desc()).limit(10**9).offset(keep)
        connection.execute(delete(spans).where(own, spans.c.trace.in_(old.scalar_subquery())))


def list_traces(
    connection: Connection, *, organisation: str, limit: int, failed: bool = False, slower_us: int = 0
) -> list[TraceLine]:
    """The latest first; only those that failed, or took as long as `slower_us`, where that is asked for."""
    first, last = func.min(spans.c.started_us), func.max(spans.c.ended_us)
    errors = func.count(func.nullif(spans.c.error, ""))
    query = (
        select(
            spans.c.trace, first.label("first"), last.label("last"), func.count().label("spans"), errors.label("bad")
        )
        .where(spans.c.organisation == organisation)
        .group_by(spans.c.trace)
        .order_by(first.desc(), spans.c.trace)
        .limit(limit)
    )
    if failed:
        query = query.having(errors > 0)
    if slower_us:
        query = query.having(last - first >= slower_us)
    rows = connection.execute(query).all()
    names = _names(connection, organisation, [row.trace for row in rows])
    return [
        TraceLine(
            trace=row.trace,
            name=names.get(row.trace, ""),
            started_us=row.first,
            duration_us=row.last - row.first,
            spans=row.spans,
            errors=row.bad,
        )
        for row in rows
    ]


def _names(connection: Connection, organisation: str, traces: Sequence[str]) -> dict[str, str]:
    """What the first span of each is called."""
    query = (
        select(spans.c.trace, spans.c.name)
        .where(spans.c.organisation == organisation, spans.c.trace.in_(traces))
        .order_by(spans.c.started_us.desc(), spans.c.parent.desc())
    )
    return {row.trace: row.name for row in connection.execute(query)}


def spans_in(connection: Connection, trace: str, *, organisation: str) -> list[Span]:
    """All of a trace, in the order in which they began. Raises NotFound."""
    query = (
        select(spans)
        .where(spans.c.organisation == organisation, spans.c.trace == trace)
        .order_by(spans.c.started_us, spans.c.ended_us.desc(), spans.c.id)
    )
    found = [
        Span(**{name: row[name] for name in Span.__struct_fields__}) for row in connection.execute(query).mappings()
    ]
    if not found:
        raise NotFound(f"There is no trace '{trace[:64]}' any more, or there never was.", code="trace_not_found")
    return found
