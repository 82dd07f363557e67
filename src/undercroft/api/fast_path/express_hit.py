"""A plain question that the cache has the answer to: on the shortest way, without waiting for anything."""

from typing import Final

import msgspec

from undercroft.api.fast_path.express_call import Desk, Wanted, hold_field
from undercroft.api.fast_path.heads import PlainHead
from undercroft.api.fast_path.outline import Outline
from undercroft.api.fast_path.plan import Plan
from undercroft.api.protocol import HttpProtocol
from undercroft.cache.entry import Entry
from undercroft.errors import Unavailable
from undercroft.gateway.stages.cache import HIT
from undercroft.record import CallRecord
from undercroft.telemetry.tracing import Ids

_HEAD: Final = (
    b"content-type: application/json\r\ncontent-length: %d\r\nx-undercroft-attempts: 0\r\n%bx-undercroft-cache: hit\r\n"
    b"x-undercroft-cache-id: %b\r\n%bx-undercroft-cost: 0\r\nx-request-id: %b\r\nrequest-id: %b\r\n\r\n"
)


class ExpressHit(msgspec.Struct, eq=False, gc=False):
    """One of them."""

    desk: Desk
    head: PlainHead
    plan: Plan
    wanted: Wanted
    id: str
    started: float
    started_us: int
    ids: Ids

    def answer(self, client: HttpProtocol, cache_id: str, entry: Entry, body: bytes) -> None:
        """Gives it, once it is booked; with what the call needs held."""
        desk, plan, wanted, ids = self.desk, self.plan, self.wanted, self.ids
        client.expect(None)
        fields = plan.standing.fields(self.started_us)
        plan.standing.settle(wanted.tokens, wanted.spend_nano, tokens=0, cost_nano=0)
        took_us = round((desk.clock.monotonic() - self.started) * 1_000_000)
        if ids.trace and desk.tracing is not None:
            desk.tracing.sketch(self.id, Outline(ids, self.started, plan.passed))
        try:
            desk.meter.recorder.append(
                CallRecord(
                    id=self.id,
                    started_us=self.started_us,
                    duration_us=took_us,
                    who=self.head.caller.who,
                    endpoint=self.head.format.path,
                    model=plan.model.name,
                    upstream_model=entry.chunks[0].model,
                    first_token_us=took_us,
                    cache=HIT,
                    trace=ids.trace,
                    saved_nano=entry.cost_nano,
                    held_nano=wanted.spend_nano,
                )
            )
        except Unavailable as unbooked:
            desk.going.tell(client.cycle_of(self.head), self.id, self.head.format, unbooked)
            return
        hold, request_id = hold_field(wanted.spend_nano), self.id.encode()
        client.respond(_HEAD % (len(body), hold, cache_id.encode(), fields, request_id, request_id), body)
