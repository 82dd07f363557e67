"""`/api/v1/jobs`: work that is accepted now and done later."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from undercroft.api.exchange import OFF_LOOP_BYTES, Exchange
from undercroft.api.following import follow
from undercroft.api.operated import operated
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.assembly.job_views import Following, delivery_of, view_of, wanted_of
from undercroft.telemetry.trace_context import for_later
from undercroft.wire import jobs as wire
from undercroft.wire.body import invalid
from undercroft.wire.query import read_query

PATH = "/api/v1/jobs"
IDEMPOTENCY_KEY = b"idempotency-key"
LONGEST_KEY = 255


class Jobs:
    """The handlers, one a route."""

    def __init__(self, undercroft: Undercroft) -> None:
        self._office = undercroft.jobs
        self._access = undercroft.access
        self._events = undercroft.events
        self._tracing = undercroft.telemetry.tracing
        self._server = undercroft.settings.server

    async def create(self, exchange: Exchange) -> None:
        """Accepts a job: once this has answered 202, it will be done."""
        limits = self._server.limits
        body = await exchange.body(limit=limits.max_body_bytes, timeout_s=limits.body_timeout_s)
        asked = await asyncio.to_thread(wire.decode, body) if len(body) > OFF_LOOP_BYTES else wire.decode(body)
        desk = await self._office.desk()
        if asked.webhook is not None:
            hooks = await self._events.hooks()
            await hooks.expect_address(exchange.caller.who.organisation, asked.webhook, param="webhook")
        key = _key(exchange, asked)
        traceparent = self._tracing.handed_in(exchange.header(b"traceparent"), "create job")
        wanted = wanted_of(asked, idempotency_key=key, trace=for_later(traceparent, exchange.id))
        accepted = await desk.accept(exchange.caller.who, wanted)
        headers = [(b"location", f"{PATH}/{accepted.job.id}".encode())]
        if accepted.was == "replayed":
            headers.append((b"idempotent-replayed", b"true"))
        await exchange.respond(wire.encode(view_of(accepted.job)), status=202, headers=headers)

    async def list(self, exchange: Exchange) -> None:
        """The organisation's jobs, the latest first."""
        asked = read_query(exchange.query, wire.JobQuery)
        desk = await self._office.desk()
        found = await desk.page(
            exchange.caller.who,
            status=asked.status,
            kind=asked.kind,
            queue=asked.queue,
            before=asked.before,
            limit=asked.limit + 1,
        )
        shown = [view_of(job) for job in found[: asked.limit]]
        last_id = shown[-1].id if shown else None
        await exchange.respond(
            wire.encode(wire.JobList(data=shown, last_id=last_id, has_more=len(found) > asked.limit))
        )

    async def show(self, exchange: Exchange) -> None:
        """A job, with its result once it has one."""
        desk = await self._office.desk()
        job = await desk.find(exchange.caller.who, exchange.path_values["job_id"])
        await exchange.respond(wire.encode(view_of(job)))

    async def deliveries(self, exchange: Exchange) -> None:
        """How what is posted to the job's webhook has fared."""
        desk = await self._office.desk()
        job = await desk.find(exchange.caller.who, exchange.path_values["job_id"])
        found = await (await self._events.hooks()).addressed(job.organisation, job.id)
        await exchange.respond(wire.encode(wire.JobDeliveries(data=[delivery_of(each) for each in found])))

    async def cancel(self, exchange: Exchange) -> None:
        """Cancels a job that waits; one that runs is stopped, with its call to the model."""
        desk = await self._office.desk()
        job_id = exchange.path_values["job_id"]
        written = operated(self._access, exchange, "job.cancel", job_id)
        job = await desk.cancel(exchange.caller.who, job_id, beside=written)
        await exchange.respond(wire.encode(view_of(job)))

    async def retry(self, exchange: Exchange) -> None:
        """Runs a dead or cancelled job again, from the beginning."""
        desk = await self._office.desk()
        job_id = exchange.path_values["job_id"]
        written = operated(self._access, exchange, "job.retry", job_id)
        job = await desk.retry(exchange.caller.who, job_id, beside=written)
        await exchange.respond(wire.encode(view_of(job)))

    async def events(self, exchange: Exchange) -> None:
        """What happens to a job until it has ended, as server-sent events: status, progress, output."""
        asked = read_query(exchange.query, wire.FollowQuery)
        desk = await self._office.desk()
        who, job_id = exchange.caller.who, exchange.path_values["job_id"]
        await desk.find(who, job_id)  # a 404 is still told as one
        await follow(exchange, _frames(Following(desk, who, job_id, after=asked.after)), server=self._server)


async def _frames(following: Following) -> AsyncGenerator[bytes, None]:
    async with aclosing(following.news()) as news:
        async for frame in news:
            yield frame


def _key(exchange: Exchange, asked: wire.JobRequest) -> str | None:
    """The idempotency key, from the body or the header of that name. Raises InvalidRequest when they differ."""
    in_header = exchange.header(IDEMPOTENCY_KEY)
    if not in_header:
        return asked.idempotency_key
    if asked.idempotency_key not in (None, in_header):
        raise invalid("The header Idempotency-Key and the body's 'idempotency_key' differ.", param="idempotency_key")
    if len(in_header) > LONGEST_KEY:
        raise invalid(f"The header Idempotency-Key is longer than {LONGEST_KEY} characters.", param="idempotency_key")
    return in_header


def routes(undercroft: Undercroft) -> list[Route]:
    jobs, one = Jobs(undercroft), f"{PATH}/{{job_id}}"
    return [
        Route("POST", PATH, "ai", jobs.create),
        Route("GET", PATH, "ai", jobs.list),
        Route("GET", one, "ai", jobs.show),
        Route("GET", f"{one}/deliveries", "ai", jobs.deliveries),
        Route("POST", f"{one}/cancel", "ai", jobs.cancel),
        Route("POST", f"{one}/retry", "ai", jobs.retry),
        Route("GET", f"{one}/events", "ai", jobs.events),
    ]
