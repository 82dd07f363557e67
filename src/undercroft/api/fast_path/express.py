"""The shortest way: a plain question for a whole answer, to a provider that speaks OpenAI's format.

Of such a call everything is known beforehand but its body: who asks, what counts it, where it goes. So it takes none of
the objects that calls have on their way through the stages. They are made when it turns out not to be the usual one
(`express_call.py`).
"""

from collections.abc import Callable
from typing import Final

from undercroft.api.fast_path.express_call import Desk, ExpressCall, Wanted
from undercroft.api.fast_path.express_hit import ExpressHit
from undercroft.api.fast_path.going import Going
from undercroft.api.fast_path.heads import PlainHead
from undercroft.api.fast_path.plan import Plan, Plans
from undercroft.api.fast_path.translation import Asked
from undercroft.api.protocol import HttpProtocol
from undercroft.assembly import Undercroft
from undercroft.cache.shelf import Shelf
from undercroft.gateway.most import may_cost_more, most_read
from undercroft.llm.tokens import estimate_texts
from undercroft.telemetry.tracing import Ids
from undercroft.wire.openai import chat

_DEEPEST: Final = 5
"""So deep are plain requests nested."""


class Express:
    """Takes requests past the rest of the fast path. All others it leaves as they came, with nothing done."""

    def __init__(self, undercroft: Undercroft, going: Going, plans: Plans) -> None:
        self._gateway = undercroft.gateway
        self._ids = undercroft.ids
        self._clock = undercroft.clock
        self._usual_output = undercroft.settings.limits.output_tokens
        tracing = undercroft.gateway.tracing
        self._drawn: Callable[[], Ids] = Ids if tracing is None else tracing.drawn
        self._plans = plans
        self._desk = Desk(undercroft, going)
        limits = undercroft.settings.server.limits
        self._most_messages = limits.max_messages
        self._is_off = 0 < limits.max_json_depth < _DEEPEST

    def take(self, client: HttpProtocol, head: PlainHead, body: bytes) -> bool:
        """Sends a call on its way."""
        if self._is_off or not head.request.keep_alive:
            return False
        asked = head.format.translation.read(body)
        if asked is None or self._gateway.is_released(asked.model):
            return False
        now_us = self._clock.now_us()
        plan = self._plans.find(head.plans, head.caller, asked.model, path=head.format.path, at_us=now_us)
        if plan is None or (plan.may_be_special and may_cost_more(body)):
            return False
        for way in plan.ways:
            if not way.passage.pool.has_idle:
                return False
        wanted = self._wanted(plan, asked, body, at_us=now_us)
        if wanted is None:
            return False
        if plan.shelf is not None:
            return head.format.is_openai and self._answer_again(client, head, plan, plan.shelf, wanted, now_us)
        return self._send(client, head, plan, wanted, now_us)

    def _wanted(self, plan: Plan, asked: Asked, body: bytes, *, at_us: int) -> Wanted | None:
        messages, characters = asked.size()
        if messages > self._most_messages:
            return None
        read = estimate_texts(characters, messages)
        written = asked.longest or self._usual_output
        spend_nano: int | None = 0
        if plan.counts_spend:
            spend_nano = self._most_spent(plan, most_read(len(body), likely=read), written, at_us=at_us)
        if spend_nano is None:
            return None
        return Wanted(asked, body, read, written, read + written if plan.counts_tokens else 0, spend_nano)

    def _most_spent(self, plan: Plan, read: int, written: int, *, at_us: int) -> int | None:
        if plan.prices:
            return plan.most_spent(read, written)
        allow = self._gateway.allow
        return None if allow is None else allow.most_spent(plan.model, read=read, written=written, at_us=at_us)

    def _answer_again(
        self, client: HttpProtocol, head: PlainHead, plan: Plan, shelf: Shelf, wanted: Wanted, now_us: int
    ) -> bool:
        now = self._clock.monotonic()
        found = shelf.look(wanted.body)
        answer = None if found is None else chat.passed_on(found[1].chunks[0])
        if found is None or answer is None or found[1].dropped or not self._is_held(head, plan, wanted, now):
            return False
        request_id = self._ids.at("req_", now_us)
        hit = ExpressHit(self._desk, head, plan, wanted, request_id, now, now_us, self._drawn())
        hit.answer(client, *found, answer)
        return True

    def _is_held(self, head: PlainHead, plan: Plan, wanted: Wanted, now: float) -> bool:
        if plan.standing.hold(wanted.tokens, wanted.spend_nano, now):
            return True
        head.plans.pop(plan.model.name)  # one of its windows may have been closed
        return False

    def _send(self, client: HttpProtocol, head: PlainHead, plan: Plan, wanted: Wanted, now_us: int) -> bool:
        now = self._clock.monotonic()
        if not self._is_held(head, plan, wanted, now):
            return False
        balancer = plan.model.balancer
        turn = balancer.take_at_once()
        if turn is not None:
            request_id = self._ids.at("req_", now_us)
            call = ExpressCall(self._desk, client, head, plan, turn, wanted, request_id, now, now_us, self._drawn())
            if call.begin():
                return True
            balancer.finished(turn)
        plan.standing.drop(wanted.tokens, wanted.spend_nano)
        return False
