"""`/api/v1/traces` and `/api/v1/errors`: what was observed and is kept in the database."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from undercroft.api.manage.asking import organisation
from undercroft.assembly import Undercroft
from undercroft.clock import rfc3339
from undercroft.observed.errors import list_errors
from undercroft.observed.traces import list_traces, spans_in

Limit = Annotated[int, Query(ge=1, le=1000)]
Milliseconds = Annotated[float, Query(ge=0, le=86_400_000)]


class TraceRow(BaseModel):
    """A trace, by its first span."""

    trace: str
    name: str
    started_at: str
    duration_ms: float
    spans: int
    errors: int


class SpanRow(BaseModel):
    """One piece of work in a trace."""

    id: str
    parent: str
    name: str
    kind: str
    started_at: str
    duration_ms: float
    error: str
    attributes: dict[str, str | int | float | bool]


class ErrorRow(BaseModel):
    """An error, however often it happened in one place; message and sample are the latest one's, without secrets."""

    fingerprint: str
    kind: str
    message: str
    place: str
    count: int
    first_seen: str
    last_seen: str
    sample: str


class TraceList(BaseModel):
    """The latest first."""

    data: list[TraceRow]


class SpanList(BaseModel):
    """In the order in which they began."""

    trace: str
    data: list[SpanRow]


class ErrorList(BaseModel):
    """Those seen last come first."""

    data: list[ErrorRow]


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()

    @routes.get("/traces")
    async def traces(limit: Limit = 50, failed: bool = False, slower_ms: Milliseconds = 0) -> TraceList:
        """The latest traces; with a collector (`otlp_endpoint`) there are none here."""
        slower_us = round(slower_ms * 1000)
        query = partial(list_traces, organisation=organisation(), limit=limit, failed=failed, slower_us=slower_us)
        rows = [
            TraceRow(
                trace=line.trace,
                name=line.name,
                started_at=rfc3339(line.started_us),
                duration_ms=line.duration_us / 1000,
                spans=line.spans,
                errors=line.errors,
            )
            for line in await undercroft.link.read(query)
        ]
        return TraceList(data=rows)

    @routes.get("/traces/{trace}")
    async def one_trace(trace: str) -> SpanList:
        """What was done in a trace: the request, its stages, attempts at providers, the job, vector searches."""
        rows = [
            SpanRow(
                id=span.id,
                parent=span.parent,
                name=span.name,
                kind=span.kind,
                started_at=rfc3339(span.started_us),
                duration_ms=(span.ended_us - span.started_us) / 1000,
                error=span.error,
                attributes=span.attributes,
            )
            for span in await undercroft.link.read(partial(spans_in, trace=trace, organisation=organisation()))
        ]
        return SpanList(trace=trace, data=rows)

    @routes.get("/errors")
    async def errors(limit: Limit = 50) -> ErrorList:
        """What went wrong, grouped by type and place; with Sentry (`sentry_dsn`) it is there, and not here."""
        rows = [
            ErrorRow(
                fingerprint=group.fingerprint,
                kind=group.kind,
                message=group.message,
                place=group.place,
                count=group.count,
                first_seen=rfc3339(group.first_us),
                last_seen=rfc3339(group.last_us),
                sample=group.sample,
            )
            for group in await undercroft.link.read(partial(list_errors, limit=limit))
        ]
        return ErrorList(data=rows)

    return routes
