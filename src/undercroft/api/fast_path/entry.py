"""Decides which requests go the fast path, and sends them on their way."""

from collections.abc import Callable
from typing import Final

from undercroft.api.cycle import Cycle
from undercroft.api.exchange import OFF_LOOP_BYTES
from undercroft.api.fast_path.express import Express
from undercroft.api.fast_path.going import Going, StartedCall
from undercroft.api.fast_path.heads import Heads, PlainHead
from undercroft.api.fast_path.plain import PlainModels, PlainWays
from undercroft.api.fast_path.plan import Plans
from undercroft.api.fast_path.streamed import StreamedAnswer
from undercroft.api.fast_path.whole import WholeAnswer
from undercroft.api.guard import Request
from undercroft.api.protocol import HttpProtocol
from undercroft.assembly import Undercroft
from undercroft.errors import UndercroftError
from undercroft.gateway.call import Begun, Call, Stake, Trail
from undercroft.gateway.stake import NOTHING
from undercroft.llm.types import ChatRequest
from undercroft.telemetry.spans import Course
from undercroft.wire.duplicates import demand_unambiguous
from undercroft.wire.longest import at_longest
from undercroft.wire.nesting import demand_shallow


class FastPath:
    """Takes the plain ones among the requests of one configuration. All others it leaves as they came.

    A request is plain when its caller is known, no stage has anything to do for it (`plain.py`), and a connection to
    its deployment is open and idle, or its answer is at hand in the cache. From then on the call is on its way just as
    the stages would have sent it, and what comes back is either the usual, which ends here, or goes on in the stages
    (`going.py`).
    """

    def __init__(
        self, undercroft: Undercroft, *, leave: Callable[[StartedCall], None], is_closing: Callable[[], bool]
    ) -> None:
        """`leave` hands a call over to the stages."""
        self._undercroft = undercroft
        self._gateway = undercroft.gateway
        self._clock = undercroft.clock
        self._ids = undercroft.ids
        self._heads = Heads(undercroft.door, undercroft.keys)
        self.find: Final = self._heads.find
        """As it is: each request asks it."""
        self._plain = PlainModels(undercroft.gateway)
        self._going = Going(undercroft, leave=leave)
        plans = Plans(undercroft.gateway, undercroft.limits, self._plain)
        self._express = Express(undercroft, self._going, plans)
        self._is_closing = is_closing
        self._is_off = not undercroft.recorder.is_immediate
        """Answers wait for what is booked to be safe: that is for tasks."""
        limits = undercroft.settings.server.limits
        self._most_bytes = min(OFF_LOOP_BYTES, limits.max_body_bytes)
        self._most_messages = limits.max_messages
        self._max_depth = limits.max_json_depth
        self._timeout_s = undercroft.settings.server.request_timeout_s

    def express(self, client: HttpProtocol, head: PlainHead, body: bytes) -> bool:
        """See `Express.take`."""
        return self._is_open_for(body) and self._express.take(client, head, body)

    def read(self, head: bytes, request: Request) -> tuple[PlainHead, int] | None:
        """See `Heads.read`."""
        return self._heads.read(head, request, now_us=self._clock.now_us())

    def take(self, cycle: Cycle, head: PlainHead, body: bytes) -> bool:
        """Sends a plain call on its way. False, with nothing done, for any other request."""
        if not self._is_open_for(body):
            return False
        started, started_us = self._clock.monotonic(), self._clock.now_us()
        request = self._read(head, body)
        if request is None or self._gateway.is_released(request.model):
            return False
        try:
            model = self._gateway.catalogue.find(request.model, "chat")
        except UndercroftError:
            return False
        ways = self._plain.ways(model)
        if ways is None or model.name != request.model or not ways.are_ready:
            return False
        course = self._course(head, ways, started)
        call = Call(
            id=self._ids.new("req_"),
            endpoint=head.format.path,
            who=head.caller.who,
            request=request,
            started_us=started_us,
            started=started,
            deadline=started + self._timeout_s,
            trace=head.trace if course is None else course.trace,
            traceparent=head.traceparent if course is None else course.header(),
            trail=Trail(found=model),
        )
        allow = self._gateway.allow
        stake = NOTHING if allow is None else allow.at_once(call)
        if stake is None:
            return False
        if not ways.by_deployment:
            is_taken = self._answer_again(cycle, call, head, course)
        else:
            is_taken = self._send(cycle, call, head, ways, stake, course)
        if not is_taken:
            stake.drop()
        return is_taken

    def _is_open_for(self, body: bytes) -> bool:
        is_shut = self._is_off or self._is_closing() or self._undercroft.link.needs_migration
        return not is_shut and len(body) <= self._most_bytes

    def _read(self, head: PlainHead, body: bytes) -> ChatRequest | None:
        """None: the application says what it is."""
        try:
            if self._max_depth:
                demand_shallow(body, limit=self._max_depth)
                demand_unambiguous(body)
            request = head.format.decode(body, head.passed)
        except UndercroftError:
            return None
        if request.store or request.prompt is not None or len(request.messages) > self._most_messages:
            return None
        return request

    def _course(self, head: PlainHead, ways: PlainWays, started: float) -> Course | None:
        tracing = self._gateway.tracing
        if tracing is None:
            return None
        course = tracing.course(head.traceparent, began=started)
        course.passed, course.passed_at = ways.passed, started
        return course

    def _answer_again(self, cycle: Cycle, call: Call, head: PlainHead, course: Course | None) -> bool:
        """With what was answered before; False where that has to be looked for, or there is nothing."""
        gateway = self._gateway
        found = gateway.cache.at_once(call) if gateway.cache is not None else None
        if found is None:
            return False
        if course is not None and gateway.tracing is not None:
            gateway.tracing.follow(call.id, course)
        self._going.give(cycle, call, head.format, found, self._going.book_whole(call, found))
        return True

    def _send(
        self, cycle: Cycle, call: Call, head: PlainHead, ways: PlainWays, stake: Stake, course: Course | None
    ) -> bool:
        """False where there is more to consider."""
        gateway, request, model = self._gateway, call.request, call.trail.found
        assert isinstance(request, ChatRequest) and model is not None, "take has seen to it"  # noqa: PT018 - one fact
        if call.trail.most_output is not None:
            request = at_longest(request, call.trail.most_output)
        turn = model.balancer.take_at_once(streamed=request.stream)
        if turn is None:
            return False
        deployment = turn.item
        way = ways.by_deployment[deployment.id]
        at = gateway.route.begin(call, model, turn)
        self._undercroft.under_way.begin()
        noted, below = None, head.told
        if course is not None and gateway.tracing is not None:
            gateway.tracing.follow(call.id, course)
            noted, context = gateway.tracing.attempt_of(
                course, call.id, deployment.provider, deployment.upstream_model, deployment.id
            )
            below = context.header()
        started = StartedCall(cycle, call, head.format, model, turn, at, way, stake)
        try:
            gateway.meter.open(call)
            response, call.trail.dropped = way.begin(request, below)
        except Exception:  # noqa: BLE001 - whatever it is, the stages come to it too, and it is theirs to tell
            call.trail.begun = Begun(turn, at, None, stake, noted)
            self._going.leave(started)
            return True
        call.trail.begun = Begun(turn, at, response, stake, noted)
        answer = StreamedAnswer if request.stream else WholeAnswer
        answer(started, response, self._going).begin()
        return True
