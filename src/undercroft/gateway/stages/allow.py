"""Lets a call go on as far as its caller's limits allow, and holds what it may use until it has ended."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Final, Literal, Protocol

from undercroft.errors import NotAllowed
from undercroft.gateway.call import Call, Handler, Model, kind_of
from undercroft.gateway.catalogue import Catalogue
from undercroft.gateway.growing import Growing
from undercroft.gateway.most import likely_input, most_output, most_spent, says_how_long
from undercroft.gateway.stages.meter import Rates
from undercroft.ledger.allowances import Hold, Need
from undercroft.ledger.limits import Ask, Limit, Measure, asked_of, period_of, tightest
from undercroft.llm.reply import Reply
from undercroft.llm.types import Chunk
from undercroft.record import Who

UnknownPrice = Literal["deny", "estimate", "allow"]


class Book(Protocol):
    """The limits that are written down."""

    is_empty: bool

    def limits_of(self, who: Who, model: str, /) -> Sequence[Limit]: ...


class Holds(Protocol):
    """Where calls hold what they may use."""

    async def hold(self, needs: Sequence[Need], /) -> Hold:
        """Raises LimitReached, and Unavailable where that cannot be known."""
        ...


class Allow:
    """Outside everything that spends. `may_call` says whether a key (its id) may call a public model name."""

    def __init__(
        self,
        book: Book,
        holds: Holds,
        *,
        catalogue: Catalogue,
        rates: Rates,
        may_call: Callable[[str, str], bool],
        usual_output: int,
        unknown_price: UnknownPrice,
    ) -> None:
        self._book = book
        self._holds = holds
        self._catalogue = catalogue
        self._rates = rates
        self._may_call = may_call
        self._usual_output = usual_output
        self._unknown_price = unknown_price

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        who, trail = call.who, call.trail
        model = trail.found
        assert model is not None, "Find stands before Allow"
        if who.key and not self._may_call(who.key, trail.alias or model.name):
            asked = trail.alias or model.name
            raise NotAllowed(f"This key may not call the model '{asked}'.", code="model_not_allowed")
        if self._book.is_empty:
            return await proceed(call)
        limits = self._book.limits_of(who, model.name)
        if not limits:
            return await proceed(call)
        output = most_output(call.request, usual=self._usual_output)
        ask = self._ask(call, model, limits, output=output)
        hold = await self._holds.hold(
            [(limit, limit.window(who, call.started_us), asked_of(limit, ask)) for limit in limits]
        )
        trail.settle = hold.settle
        trail.held_nano = ask.spend_nano
        trail.own_limits = tuple(headers_of(hold.left(), now_us=call.started_us))
        reply = await proceed(call)
        grows = [limit for limit in limits if limit.measure in ("tokens", "spend")]
        if reply.whole is not None or trail.cache or not grows or says_how_long(call.request):
            return reply
        chunks = self._growing(call, model, grows, hold, ask, output, reply.chunks)
        return Reply(chunks, dropped=reply.dropped, has_begun=reply.has_begun, limits=reply.limits)

    def _growing(
        self,
        call: Call,
        model: Model,
        limits: Sequence[Limit],
        hold: Hold,
        first: Ask,
        output: int,
        chunks: AsyncGenerator[Chunk, None],
    ) -> Growing:
        """The stream, for which more is held by the time it has said as much as was held for."""
        held, tokens = first, output

        async def grow() -> int:
            nonlocal held, tokens
            wanted = tokens + self._usual_output
            ask = self._ask(call, model, limits, output=wanted)
            more = Ask(tokens=ask.tokens - held.tokens, spend_nano=ask.spend_nano - held.spend_nano)
            needs = [(limit, limit.window(call.who, call.started_us), asked_of(limit, more)) for limit in limits]
            hold.absorb(await self._holds.hold(needs))
            held, tokens, call.trail.held_nano = ask, wanted, ask.spend_nano
            return tokens

        return Growing(chunks, call.trail, tokens=output, grow=grow)

    def _ask(self, call: Call, model: Model, limits: Sequence[Limit], *, output: int) -> Ask:
        measures = {limit.measure for limit in limits}
        tokens = likely_input(call.request) + output if "tokens" in measures else 0
        spend_nano = 0
        if "spend" in measures:
            found = most_spent(call, self._ways(call, model), self._rates, output=output)
            if found is None and self._unknown_price == "deny":
                raise NotAllowed(
                    f"The price of '{model.name}' is not known, and this caller has a budget.",
                    code="price_unknown",
                    hint="Give the deployment a price, or set [limits] unknown_price.",
                )
            spend_nano = found or 0
        return Ask(tokens=tokens, spend_nano=spend_nano)

    def _ways(self, call: Call, model: Model) -> Iterator[Model]:
        """The model and every other that may answer in its place."""
        yield model
        policy, kind = model.policy, kind_of(call.request)
        for name in (*policy.fallbacks, *policy.fallbacks_on_context, *policy.fallbacks_on_policy):
            yield self._catalogue.find(name, kind)


_HEADERS: Final[tuple[tuple[Measure, bytes], ...]] = (("requests", b"requests"), ("tokens", b"tokens"))


def headers_of(left: Sequence[tuple[Limit, int]], *, now_us: int) -> Iterator[tuple[bytes, bytes]]:
    """OpenAI's `x-ratelimit-*`, of the limit with the least left: how much it is, what is left, when it renews."""
    for measure, name in _HEADERS:
        found = tightest(left, measure)
        if found is None:
            continue
        limit, amount = found
        yield b"x-ratelimit-limit-" + name, b"%d" % limit.amount
        yield b"x-ratelimit-remaining-" + name, b"%d" % amount
        if limit.period != "total":
            _, ends_us = period_of(limit.period, now_us)
            yield b"x-ratelimit-reset-" + name, b"%ds" % -(-(ends_us - now_us) // 1_000_000)
