"""A call on the shortest way: it ends here when its answer is the usual one, and goes on in the fast path otherwise."""

from typing import Final

import msgspec

from undercroft.api.fast_path.going import WELL, Going, StartedCall
from undercroft.api.fast_path.heads import PlainHead
from undercroft.api.fast_path.outline import Outline
from undercroft.api.fast_path.plan import Plan
from undercroft.api.fast_path.translation import Asked
from undercroft.api.fast_path.whole import WholeAnswer
from undercroft.api.protocol import HttpProtocol
from undercroft.assembly import Undercroft
from undercroft.egress.connection import Connection
from undercroft.egress.http1 import whole_body_of
from undercroft.egress.response import Response
from undercroft.errors import Unavailable, UndercroftError
from undercroft.gateway.balance import Turn
from undercroft.gateway.call import Begun, Call, Deployment, Stake, Trail
from undercroft.gateway.stake import NOTHING
from undercroft.ledger.limits import Ask
from undercroft.ledger.prices import charge
from undercroft.money import format_usd
from undercroft.record import CallOpened, CallRecord, Usage
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.trace_context import header_of
from undercroft.telemetry.tracing import Ids
from undercroft.wire.longest import ended

_LIMITED: Final = b"\r\nx-ratelimit-limit-"
"""A provider's own limits, which a caller is told where there are none of ours."""


class Desk:
    """What all such calls use."""

    def __init__(self, undercroft: Undercroft, going: Going) -> None:
        gateway = undercroft.gateway
        self.going = going
        self.meter = gateway.meter
        self.allow = gateway.allow
        self.tracing = gateway.tracing
        self.clock = undercroft.clock
        self.timeout_s = undercroft.settings.server.request_timeout_s
        self.under_way = undercroft.under_way


class Wanted(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a call asks for."""

    asked: Asked
    body: bytes
    """As it came."""
    read: int
    """Tokens, as far as can be estimated."""
    written: int
    """Tokens, at most."""
    tokens: int
    """Held of limits, as is `spend_nano`."""
    spend_nano: int


def hold_field(held_nano: int) -> bytes:
    """The line that tells what is held of budgets; empty where nothing is."""
    return b"x-undercroft-hold: %b\r\n" % format_usd(held_nano).encode() if held_nano else b""


class ExpressCall(msgspec.Struct, eq=False, gc=False):
    """Between a request and its answer. Until that is there, it can be made into what the fast path has.

    The client's connection knows it as it knows the connection, and each way to its end makes it forget: so no garbage
    collector has to look for it.
    """

    desk: Desk
    client: HttpProtocol
    head: PlainHead
    plan: Plan
    turn: Turn[Deployment]
    wanted: Wanted
    id: str
    started: float
    """Monotonic seconds."""
    started_us: int
    ids: Ids
    at: float = 0.0
    """Since when it has its place; monotonic too."""
    connection: Connection | None = None

    @property
    def deadline(self) -> float:
        """Monotonic seconds after which it does not wait here any more."""
        return self.started + self.desk.timeout_s

    # On its way.

    def begin(self) -> bool:
        """Sends it; False, with nothing done, where no trace of it can be left."""
        desk, head, model, ids = self.desk, self.head, self.plan.model, self.ids
        way = self.plan.ways[self.turn.index]
        deployment = way.deployment
        try:
            desk.meter.recorder.append(
                CallOpened(
                    id=self.id,
                    started_us=self.started_us,
                    who=head.caller.who,
                    endpoint=head.format.path,
                    model=model.name,
                    provider=deployment.provider,
                    deployment=deployment.id,
                    estimated_input=self.wanted.read,
                )
            )
        except Unavailable:
            return False
        way.active.add()
        desk.under_way.begin()
        self.at = desk.clock.monotonic()
        self.client.expect(self)
        below = header_of(ids.trace, ids.attempt, sampled=ids.is_sampled) if ids.trace else head.told
        try:
            body = head.format.translation.sent(self.wanted.asked, self.wanted.body, way)
            if (tokens := self._most_output()) is not None:
                body = ended(body, tokens)
            self.connection = way.passage.send(body, below, self)
        except Exception:  # noqa: BLE001 - whatever it is, the stages come to it too, and it is theirs to tell
            self._go_on(None)
        return True

    def take(self, connection: Connection, data: bytes) -> bool:
        """The usual answer ends it."""
        start = whole_body_of(data)
        answered = self.head.format.translation.answered(data[start:], self.id, self.plan.model.name) if start else None
        if answered is None or not (self.plan.standing.tells or _LIMITED not in data[:start].lower()):
            self.give_up(connection)
            return False
        connection.is_free()
        try:
            self._answer(*answered)
        except Exception as error:  # noqa: BLE001 - the outermost edge of a request
            get_logger("undercroft.api").error("request_failed", request_id=self.id, exc_info=error)
            self.client.transport.abort()
        finally:
            self.desk.under_way.end()
        return True

    def _answer(self, body: bytes, usage: Usage, upstream_model: str) -> None:
        client = self.client
        client.express = None
        fields = self.plan.standing.fields(self.started_us)
        cost_nano, unbooked = self._book(usage, upstream_model)
        if unbooked is None:
            client.respond(self._answer_head(len(body), fields, cost_nano), body)
        else:
            self.desk.going.tell(client.cycle_of(self.head), self.id, self.head.format, unbooked)

    def _answer_head(self, size: int, fields: bytes, cost_nano: int) -> bytes:
        request_id = self.id.encode()
        return _HEAD % (
            size,
            self.turn.item.shown,
            hold_field(self.wanted.spend_nano),
            fields,
            format_usd(cost_nano).encode(),
            request_id,
            request_id,
        )

    def _book(self, usage: Usage, upstream_model: str) -> tuple[int, UndercroftError | None]:
        """What it cost, and why that could not be booked, where it could not."""
        desk, plan, wanted, ids = self.desk, self.plan, self.wanted, self.ids
        deployment, who, path = self.turn.item, self.head.caller.who, self.head.format.path
        way = plan.ways[self.turn.index]
        now = desk.clock.monotonic()
        took_us = round((now - self.started) * 1_000_000)
        plan.model.balancer.done(self.turn, now - self.at, now)
        way.retries.called(now)
        way.active.add(-1)
        if way.price is not None:
            cost_nano, price = charge(way.price, usage)
        else:
            cost_nano, price = desk.meter.rates.cost(deployment, usage, at_us=self.started_us)
        plan.standing.settle(wanted.tokens, wanted.spend_nano, tokens=usage.total, cost_nano=cost_nano)
        if ids.trace and desk.tracing is not None:
            desk.tracing.sketch(self.id, self._outline())
        record = CallRecord(  # in the order of its fields: by their names it would take four times as long
            self.id,
            self.started_us,
            took_us,
            who,
            path,
            plan.model.name,
            deployment.provider,
            deployment.id,
            upstream_model,
            "",  # no release
            WELL,
            "",  # and no error
            1,
            took_us,
            usage,
            False,  # noqa: FBT003 - the provider's own count
            cost_nano,
            price,
            "",  # the cache has no part in it
            False,  # noqa: FBT003 - nor is it a stream
            ids.trace,
            held_nano=wanted.spend_nano,
            chosen=self.turn.why,
        )
        try:
            desk.meter.recorder.append(record)
        except Unavailable as unbooked:
            return cost_nano, unbooked
        return cost_nano, None

    def _most_output(self) -> int | None:
        """The end that a budget sets to an answer whose caller has set none."""
        has_none = self.plan.counts_spend and self.wanted.asked.longest is None
        return self.wanted.written if has_none else None

    # For its trace.

    def _outline(self) -> Outline:
        return Outline(self.ids, self.started, self.plan.passed, self.turn.item, self.at)

    # Elsewhere.

    def give_up(self, connection: Connection) -> None:
        """It goes on in the fast path, with what comes from that connection now."""
        self._go_on(connection.response())

    def slow_down(self) -> None:
        """The same, where the client has something to tell."""
        assert self.connection is not None, "it was sent before anything could be told"
        self.give_up(self.connection)

    def _go_on(self, response: Response | None) -> None:
        desk, head, plan = self.desk, self.head, self.plan
        self.client.express = None
        cycle = self.client.cycle_of(head)
        outline = self._outline() if self.ids.trace else None
        noted = None if outline is None else outline.attempt()
        course = None if outline is None else outline.course_of(noted)
        call = Call(
            id=self.id,
            endpoint=head.format.path,
            who=head.caller.who,
            request=head.format.decode(self.wanted.body, head.passed),
            started_us=self.started_us,
            started=self.started,
            deadline=self.deadline,
            trace=head.trace if course is None else course.trace,
            traceparent=head.traceparent if course is None else course.header(),
            trail=Trail(
                found=plan.model,
                deployment=self.turn.item,
                chosen=(self.turn.why,),
                attempts=1,
                most_output=self._most_output(),
            ),
        )
        stake = self._stake(call)
        if course is not None and desk.tracing is not None:
            desk.tracing.follow(self.id, course)
        call.trail.begun = Begun(self.turn, self.at, response, stake, noted)
        way = plan.ways[self.turn.index]
        started = StartedCall(cycle, call, head.format, plan.model, self.turn, self.at, way.provider, stake)
        if response is None:
            desk.going.leave(started)
        else:
            WholeAnswer(started, response, desk.going).begin()

    def _stake(self, call: Call) -> Stake:
        wanted, standing = self.wanted, self.plan.standing
        if self.desk.allow is None or not standing.counted.limits:
            return NOTHING
        hold = standing.taken_over(wanted.tokens, wanted.spend_nano)
        ask = Ask(tokens=wanted.tokens, spend_nano=wanted.spend_nano)
        return self.desk.allow.take_over(call, standing.counted, hold, ask, output=wanted.written)


_HEAD: Final = (
    b"content-type: application/json\r\ncontent-length: %d\r\nx-undercroft-attempts: 1\r\n"
    b"x-undercroft-deployment: %b\r\n%b%bx-undercroft-cost: %b\r\nx-request-id: %b\r\nrequest-id: %b\r\n\r\n"
)
