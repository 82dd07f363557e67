"""`/api/v1/feedback`: what callers say of answers."""

from functools import partial
from typing import TYPE_CHECKING

from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.clock import rfc3339
from undercroft.wire import feedback as wire
from undercroft.wire.query import read_query

if TYPE_CHECKING:
    from undercroft.releases.feedback import Feedback

PATH = "/api/v1/feedback"


class FeedbackRoutes:
    """The handlers, one a route."""

    def __init__(self, undercroft: Undercroft) -> None:
        self._undercroft = undercroft

    async def create(self, exchange: Exchange) -> None:
        """Notes what is said of an answer. It counts for the release that made the answer."""
        from undercroft.releases.feedback import Feedback, add

        limits = self._undercroft.settings.server.limits
        asked = wire.decode(await exchange.body(limit=limits.max_body_bytes, timeout_s=limits.body_timeout_s))
        who = exchange.caller.who
        given = Feedback(
            organisation=who.organisation,
            id=self._undercroft.ids.new("fb_"),
            response=asked.response_id,
            call=wire.call_of(asked.response_id) or await self._stored(asked.response_id, who.organisation),
            key=who.key,
            source=asked.source,
            score=asked.score,
            label=asked.label,
            comment=asked.comment,
            created_us=exchange.started_us,
        )
        await self._undercroft.link.write(partial(add, given=given))
        await exchange.respond(wire.encode(_view(given)), status=201)

    async def _stored(self, response: str, organisation: str) -> str:
        """The call of a stored answer that has its provider's id. Raises NotFound."""
        from undercroft.releases.feedback import call_of

        now_us = self._undercroft.clock.now_us()
        find = partial(call_of, response=response, organisation=organisation, now_us=now_us)
        call = await self._undercroft.link.read(find)
        if not call:
            raise wire.unknown(response)
        return call

    async def list(self, exchange: Exchange) -> None:
        """What was said, the latest first."""
        from undercroft.releases.feedback import listed

        asked = read_query(exchange.query, wire.FeedbackQuery)
        organisation = exchange.caller.who.organisation
        found = await self._undercroft.link.read(
            partial(listed, organisation=organisation, source=asked.source, limit=asked.limit)
        )
        await exchange.respond(wire.encode(wire.FeedbackList(data=[_view(each) for each in found])))


def _view(given: "Feedback") -> wire.FeedbackView:
    return wire.FeedbackView(
        id=given.id,
        response_id=given.response,
        request_id=given.call,
        score=given.score,
        label=given.label,
        comment=given.comment,
        source=given.source,
        created_at=rfc3339(given.created_us),
    )


def routes(undercroft: Undercroft) -> list[Route]:
    feedback = FeedbackRoutes(undercroft)
    return [
        Route("POST", PATH, "ai", feedback.create),
        Route("GET", PATH, "read", feedback.list),
    ]
