"""What is known of an endpoint when one has to be chosen, and what a call that has ended adds to it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from undercroft.gateway import breaker
from undercroft.gateway.breaker import Breaker, BreakerPolicy

FAILURES_BEFORE_REST: Final = 3
"""In a row."""
MEMORY_S: Final = 10.0
"""A latency measured this long ago counts a third: who was slow once gets another chance."""
SLOWEST_S: Final = 60.0
FIRST_GUESS_S: Final = 0.5
"""How slow an endpoint is thought to be that fails before it was ever measured: failing fast is not being fast."""

Why = Literal["", "failures", "rate_limited", "credential", "quota"]
"""What an endpoint rests for."""
Condition = Literal["ok", "resting", "open", "half_open", "unhealthy"]
"""`open` and `half_open` are its breaker's; `unhealthy` is what its active checks say."""


@dataclass(slots=True)
class Pace:
    """A moving average of seconds."""

    seconds: float = 0.0
    """0: not measured yet."""
    measured_at: float = 0.0

    def measure(self, seconds: float, now: float) -> None:
        """The longer ago the last measurement, the less it counts."""
        old = math.exp((self.measured_at - now) / MEMORY_S) * 0.7 if self.seconds else 0.0
        self.seconds = old * self.seconds + (1 - old) * seconds
        self.measured_at = now

    def worsen(self, seconds: float, now: float) -> None:
        """A call failed after `seconds`: the next ones had better go elsewhere."""
        self.seconds = min(SLOWEST_S, 2 * max(self.seconds or FIRST_GUESS_S, seconds))
        self.measured_at = now

    def expected(self, now: float) -> float:
        """What it has shown, fading with time."""
        return self.seconds * math.exp((self.measured_at - now) / MEMORY_S)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator says of an endpoint, besides its weight."""

    priority: int = 0
    """Lower goes first."""
    max_concurrency: int | None = None
    max_waiting: int = 0
    """Calls that may wait for one of its places."""
    max_wait_s: float = 0.0


@dataclass(slots=True)
class State:
    """An endpoint as it stands."""

    weight: int = 1
    terms: Terms = Terms()
    owed: int = 0
    """By `weighted`: turns it is behind its share."""
    active: int = 0
    first_token: Pace = field(default_factory=Pace)
    """How long streams take to begin."""
    whole: Pace = field(default_factory=Pace)
    """How long answers take that come in one piece: nobody sees their first token."""
    failures: int = 0
    """In a row."""
    resting_until: float = 0.0
    resting_for: Why = ""
    is_out: bool = False
    """Marked as unhealthy."""
    breaker: Breaker = field(default_factory=Breaker)

    @property
    def has_room(self) -> bool:
        limit = self.terms.max_concurrency
        return limit is None or self.active < limit

    def pace(self, *, streamed: bool) -> Pace:
        return self.first_token if streamed else self.whole


def condition(state: State, now: float) -> Condition:
    """How it is, in a word."""
    place = breaker.position(state.breaker, now)
    if place == "open" or (place == "half_open" and state.breaker.probe):
        return "open"
    if state.is_out:
        return "unhealthy"
    if now < state.resting_until:
        return "resting"
    return "ok" if place == "closed" else "half_open"


NobodyWhy = Literal["full", "resting", "open"]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What a call wants of the endpoint that takes it."""

    fits: tuple[int, ...] | None = None
    """Those that can take it; None: all."""
    scores: tuple[float, ...] | None = None
    """For each endpoint: the lowest goes first. None: as the strategy says."""
    scored_by: str = ""
    """What the scores go by, for people."""
    tried: tuple[int, ...] = ()
    """Those that failed in this call."""
    deadline: float = math.inf
    streamed: bool = False


class Nobody(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody can take a call now."""

    why: NobodyWhy
    again_at: float = math.inf
    """When time alone may change that."""
    may_wait: int = 0
    """How many calls may wait for a place, of those that are `full`."""
    wait_s: float = 0.0
    """And how long."""


def candidates(states: Sequence[State], ask: Ask, now: float) -> list[int] | Nobody:
    """Those among which a strategy chooses, at least one; or why there is none.

    The better ones first, each as long as it has room: healthy and not tried in this call; tried, but healthy; resting
    after failures, for a try may fail and a refusal has failed already. Where a provider asked for a pause that fits
    the call's time, the pause is kept. Those marked unhealthy come last, and what a breaker holds back is not asked.
    Among equals the lowest priority goes first, and the next only when that has no room.
    """
    allowed = range(len(states)) if ask.fits is None else ask.fits
    by_rank: dict[int, list[int]] = {}
    for index in allowed:
        if breaker.lets_through(states[index].breaker, now):
            by_rank.setdefault(_rank(states[index], is_tried=index in ask.tried, now=now), []).append(index)
    if not by_rank:
        return Nobody(why="open", again_at=_next_change(states, allowed, now))
    for ranks in ((0, 1), (2, 3)):
        of_ranks = [by_rank[rank] for rank in ranks if rank in by_rank]
        for indices in of_ranks:
            if chosen := _first_with_room(states, indices):
                return chosen
        if of_ranks:
            waited_for = [index for indices in of_ranks for index in indices]
            return _full(states, waited_for, again_at=_next_change(states, allowed, now))
    pauses = [states[index].resting_until for index in by_rank.get(_PAUSED, ())]
    if any(end < ask.deadline for end in pauses) or _OUT not in by_rank:
        return Nobody(why="resting", again_at=_next_change(states, allowed, now))
    out = by_rank[_OUT]
    return _first_with_room(states, out) or _full(states, out, again_at=_next_change(states, allowed, now))


PassedOver = Literal["unfit", "open", "unhealthy", "resting", "tried", "full", "spare"]
"""Why an endpoint was none of those among which was chosen: it cannot do what is asked, its breaker is open, its checks
or calls fail, it failed in this call already, it has no room; `spare`: others go before it while they have room."""


def passed_over(states: Sequence[State], found: Sequence[int], ask: Ask, now: float) -> dict[int, PassedOver]:
    """Those that are none of the candidates `found`, each with the first thing that speaks against it."""
    return {index: _objection(state, ask, index, now) for index, state in enumerate(states) if index not in found}


def _objection(state: State, ask: Ask, index: int, now: float) -> PassedOver:
    if ask.fits is not None and index not in ask.fits:
        return "unfit"
    if not breaker.lets_through(state.breaker, now):
        return "open"
    if state.is_out:
        return "unhealthy"
    if now < state.resting_until:
        return "resting"
    if index in ask.tried:
        return "tried"
    return "spare" if state.has_room else "full"


_PAUSED: Final = 4
_OUT: Final = 5


def _rank(state: State, *, is_tried: bool, now: float) -> int:
    if state.is_out:
        return _OUT
    if state.resting_until <= now:
        return 1 if is_tried else 0
    if state.resting_for == "rate_limited":
        return _PAUSED
    return 3 if is_tried else 2


def _first_with_room(states: Sequence[State], indices: Sequence[int]) -> list[int]:
    """Those of the best priority that have room."""
    roomy = [index for index in indices if states[index].has_room]
    if not roomy:
        return []
    best = min(states[index].terms.priority for index in roomy)
    return [index for index in roomy if states[index].terms.priority == best]


def _next_change(states: Sequence[State], indices: Iterable[int], now: float) -> float:
    """When the first pause or rest of these is over."""
    ends = (end for index in indices for end in (states[index].resting_until, states[index].breaker.open_until))
    return min((end for end in ends if end > now), default=math.inf)


def _full(states: Sequence[State], indices: Iterable[int], *, again_at: float) -> Nobody:
    terms = [states[index].terms for index in indices]
    return Nobody(
        why="full",
        again_at=again_at,
        may_wait=sum(each.max_waiting for each in terms),
        wait_s=max(each.max_wait_s for each in terms),
    )


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a call that has ended says about its endpoint."""

    ok: bool | None
    """None: nothing."""
    rest_s: float = 0.0
    """How long it had better not be asked."""
    why: Why = ""


GOOD: Final = Verdict(ok=True)
BAD: Final = Verdict(ok=False)
SILENT: Final = Verdict(ok=None)


def after_call(state: State, verdict: Verdict, *, probe: int, policy: BreakerPolicy, now: float) -> None:
    """Takes in how a call went; its place has been given back already."""
    if verdict.ok:
        state.failures = 0
        breaker.succeeded(state.breaker, probe, policy)
        # A call that began before a provider asked for a pause does not end the pause.
        if state.resting_until <= now or state.resting_for == "failures":
            state.resting_until, state.resting_for = 0.0, ""
        return
    if verdict.ok is None:
        breaker.given_up(state.breaker, probe)
    else:
        state.failures += 1
        breaker.failed(state.breaker, probe, policy, now)
        if state.failures >= FAILURES_BEFORE_REST:
            _rest(state, now + policy.rest_s, "failures")
    if verdict.rest_s:
        _rest(state, now + verdict.rest_s, verdict.why)


def _rest(state: State, until: float, why: Why) -> None:
    if until > state.resting_until:
        state.resting_until, state.resting_for = until, why
