"""Lets a call go on as far as its caller's limits allow, and holds what it may use until it has ended."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, Protocol

from undercroft.errors import LimitReached, NotAllowed
from undercroft.gateway.call import Call, Handler, Model, Stake, kind_of
from undercroft.gateway.catalogue import Catalogue
from undercroft.gateway.growing import Growing
from undercroft.gateway.most import likely_input, most_output, most_spent, own_end, says_how_long
from undercroft.gateway.stages.meter import Rates
from undercroft.gateway.stake import NOTHING, Holding, Wanted
from undercroft.ledger.allowances import Allowance, Hold, Need
from undercroft.ledger.limits import NEVER_US, Ask, Counting, Left, Limit, Measure, tightest
from undercroft.ledger.slices import Window
from undercroft.ledger.standing import Standing
from undercroft.llm.reply import Reply
from undercroft.record import Who

UnknownPrice = Literal["deny", "estimate", "allow"]


class Book(Protocol):
    """The limits that are written down."""

    is_empty: bool

    def counted(self, who: Who, model: str, /, *, at_us: int) -> Counting:
        """What a call that began at `at_us` is counted in."""
        ...


class Holds(Protocol):
    """Where calls hold what they may use."""

    def at_hand(self, limit: Limit, window: Window, /) -> Allowance | None:
        """Of what is held for a limit; None before anybody has held it."""
        ...

    async def hold(self, needs: Sequence[Need], /) -> Hold:
        """Raises LimitReached, and Unavailable where that cannot be known."""
        ...

    def hold_at_once(self, needs: Sequence[Need], /) -> Hold | None:
        """The same where nobody has to be asked; None, and nothing is held, where somebody has to."""
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
        begun = call.trail.begun
        stake = await self._stake(call) if begun is None else begun.stake
        reply = await proceed(call)
        if reply.whole is not None or call.trail.cache or not stake.grows:
            return reply
        chunks = Growing(reply.chunks, call.trail, tokens=stake.tokens, grow=stake.grow)
        return Reply(chunks, dropped=reply.dropped, has_begun=reply.has_begun, limits=reply.limits)

    def at_once(self, call: Call) -> Stake | None:
        """What the call holds from now on; None, and it holds nothing, where it is refused or has to wait."""
        try:
            wanted = self._wanted(call)
        except NotAllowed:
            return None
        if wanted is None:
            return NOTHING
        hold = self._holds.hold_at_once(wanted.needs())
        return None if hold is None else self._held(call, wanted, hold)

    def standing(self, who: Who, model: Model, *, at_us: int) -> Standing | None:
        """What a caller's calls of a model are held of, from that moment on; None where there is more to it."""
        if who.key and not self._may_call(who.key, model.name):
            return None
        counted = self._book.counted(who, model.name, at_us=at_us)
        allowances = [self._holds.at_hand(limit, window) for limit, window in counted.windows]
        found = [each for each in allowances if each is not None]
        return Standing(counted, found) if len(found) == len(allowances) else None

    def most_spent(self, model: Model, *, read: int, written: int, at_us: int) -> int | None:
        """Nano-dollars that the dearest of a model's deployments takes for so many tokens of text; None where that is
        not known, and has to be."""
        most = 0
        for deployment in model.deployments:
            cost_nano = self._rates.most(deployment, read, written, is_dear=False, at_us=at_us)
            if cost_nano is None:
                return None if self._unknown_price == "deny" else 0
            most = max(most, cost_nano)
        return most

    def take_over(self, call: Call, counted: Counting, hold: Hold, ask: Ask, *, output: int) -> Stake:
        """What a call holds that was held of its standing, for so many tokens of its answer."""
        return self._held(call, Wanted(counted, output, ask), hold)

    async def _stake(self, call: Call) -> Stake:
        wanted = self._wanted(call)
        if wanted is None:
            return NOTHING
        try:
            hold = await self._holds.hold(wanted.needs())
        except LimitReached:
            call.trail.own_limits = headers_of(self._left(wanted.counted), now_us=call.started_us)
            raise
        return self._held(call, wanted, hold)

    def _left(self, counted: Counting) -> list[Left]:
        """As far as this process knows."""
        found = [(limit, window, self._holds.at_hand(limit, window)) for limit, window in counted.windows]
        return [
            (limit, allowance.left, window.ends_us)
            for limit, window, allowance in found
            if allowance is not None and allowance.slice.token
        ]

    def _wanted(self, call: Call) -> Wanted | None:
        """What the call has to hold; None where nothing counts it. Raises NotAllowed."""
        who, trail = call.who, call.trail
        model = trail.found
        assert model is not None, "Find stands before Allow"
        if who.key and not self._may_call(who.key, trail.alias or model.name):
            asked = trail.alias or model.name
            raise NotAllowed(f"This key may not call the model '{asked}'.", code="model_not_allowed")
        if self._book.is_empty:
            return None
        counted = self._book.counted(who, model.name, at_us=call.started_us)
        if not counted.limits:
            return None
        output = most_output(call.request, usual=self._end_of(call))
        return Wanted(counted, output, self._ask(call, model, counted, output=output))

    def _held(self, call: Call, wanted: Wanted, hold: Hold) -> Stake:
        trail = call.trail
        trail.settle = hold.settle
        trail.held_nano = wanted.ask.spend_nano
        trail.own_limits = headers_of(hold.left(), now_us=call.started_us)
        model = trail.found
        assert model is not None, "Find stands before Allow"
        has_end = says_how_long(call.request)
        if not has_end and "spend" in wanted.counted.measures:
            # Holding more as it grows comes too late for what nobody sees of it: thoughts, and scripts of many tokens.
            trail.most_output = self._end_of(call)
            has_end = True

        async def grow(held: Wanted) -> Wanted:
            output = held.tokens + self._usual_output
            grown = Wanted(held.counted, output, self._ask(call, model, held.counted, output=output))
            hold.absorb(await self._holds.hold(grown.needs_beyond(held.ask)))
            trail.held_nano = grown.ask.spend_nano
            return grown

        return Holding(hold, wanted, grow, grows=wanted.counted.grows and not has_end)

    def _end_of(self, call: Call) -> int:
        return own_end(call.request, usual=self._usual_output)

    def _ask(self, call: Call, model: Model, counted: Counting, *, output: int) -> Ask:
        measures = counted.measures
        likely = likely_input(call.request) if counted.grows else 0
        tokens = likely + output if "tokens" in measures else 0
        spend_nano = 0
        if "spend" in measures:
            found = most_spent(call, self._ways(call, model), self._rates, likely=likely, output=output)
            if found is None and self._unknown_price == "deny":
                raise NotAllowed(
                    f"The price of '{model.name}' is not known, and this caller has a budget.",
                    code="price_unknown",
                    hint="Give the deployment a price, or set [limits] unknown_price.",
                )
            spend_nano = found or 0
        return Ask(tokens=tokens, spend_nano=spend_nano)

    def _ways(self, call: Call, model: Model) -> Sequence[Model]:
        """The model and every other that may answer in its place."""
        policy = model.policy
        if not policy.has_fallbacks:
            return (model,)
        kind = kind_of(call.request)
        names = (*policy.fallbacks, *policy.fallbacks_on_context, *policy.fallbacks_on_policy)
        return (model, *(self._catalogue.find(name, kind) for name in names))


_HEADERS: Final[Mapping[Measure, tuple[bytes, bytes, bytes]]] = {
    "requests": (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    "tokens": (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
}


def headers_of(left: Sequence[Left], *, now_us: int) -> tuple[tuple[bytes, bytes], ...]:
    """OpenAI's `x-ratelimit-*`, of the limit with the least left: how much it is, what is left, when it renews."""
    headers: list[tuple[bytes, bytes]] = []
    least = tightest(left)
    for measure, (limited, remaining, reset) in _HEADERS.items():
        found = least.get(measure)
        if found is None:
            continue
        limit, amount, ends_us = found
        headers += ((limited, b"%d" % limit.amount), (remaining, b"%d" % amount))
        if ends_us < NEVER_US:
            headers.append((reset, b"%ds" % -(-(ends_us - now_us) // 1_000_000)))
    return tuple(headers)
