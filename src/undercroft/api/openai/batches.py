"""`/v1/batches`: many calls as one order, answered within a day."""

from typing import Final

from undercroft.api.exchange import Exchange
from undercroft.api.operated import operated
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.assembly.batch_views import order_of, told
from undercroft.wire.openai import batches as wire

PATH: Final = "/v1/batches"
ONE: Final = f"{PATH}/{{batch_id}}"


class Batches:
    """The handlers, one a route."""

    def __init__(self, undercroft: Undercroft) -> None:
        self._access = undercroft.access
        self._office = undercroft.batches
        self._limits = undercroft.settings.server.limits

    async def create(self, exchange: Exchange) -> None:
        """Takes a batch: its lines are looked at next."""
        limits = self._limits
        body = await exchange.body(limit=limits.max_body_bytes, timeout_s=limits.body_timeout_s)
        order = order_of(wire.decode(body))
        desk = await self._office.desk()
        await exchange.respond(wire.encode_one(told(await desk.create(exchange.caller.who, order))))

    async def list(self, exchange: Exchange) -> None:
        """The organisation's batches, the latest first."""
        asked = wire.decode_query(exchange.query)
        desk = await self._office.desk()
        found = await desk.page(exchange.caller.who.organisation, after=asked.after, limit=asked.limit + 1)
        shown = [told(batch) for batch in found[: asked.limit]]
        await exchange.respond(wire.encode_list(shown, has_more=len(found) > asked.limit))

    async def show(self, exchange: Exchange) -> None:
        """How far a batch has come."""
        desk = await self._office.desk()
        batch = await desk.find(exchange.caller.who.organisation, exchange.path_values["batch_id"])
        await exchange.respond(wire.encode_one(told(batch)))

    async def cancel(self, exchange: Exchange) -> None:
        """Lets nothing more of a batch be begun, and breaks off what runs; what was answered is kept."""
        desk = await self._office.desk()
        batch_id = exchange.path_values["batch_id"]
        written = operated(self._access, exchange, "batch.cancel", batch_id)
        batch = await desk.cancel(exchange.caller.who.organisation, batch_id, beside=written)
        await exchange.respond(wire.encode_one(told(batch)))


def routes(undercroft: Undercroft) -> list[Route]:
    batches = Batches(undercroft)
    return [
        Route("POST", PATH, "ai", batches.create),
        Route("GET", PATH, "ai", batches.list),
        Route("GET", ONE, "ai", batches.show),
        Route("POST", f"{ONE}/cancel", "ai", batches.cancel),
    ]
