"""Which of several endpoints takes the next call."""

import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar, get_args

from undercroft.gateway import breaker
from undercroft.gateway.breaker import NEVER, BreakerPolicy
from undercroft.gateway.state import (
    BAD,
    GOOD,
    Ask,
    Condition,
    Nobody,
    State,
    Terms,
    Verdict,
    Why,
    after_call,
    candidates,
    condition,
    passed_over,
)
from undercroft.gateway.strategies import Strategy, choose, lowest, settle

Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Turn(Generic[Item]):
    """A call's place with the item that was chosen for it, to be given back with `finished`."""

    item: Item
    index: int
    probe: int = 0
    """Its number, when it is to find out whether a broken item is back; 0: it is an ordinary call."""
    why: str = ""
    """How it was chosen, as `round_robin among 3` or `cheapest among 1 of 3; a resting, b full` (each with its
    `PassedOver`); empty where there is only one."""


@dataclass(frozen=True, slots=True)
class View(Generic[Item]):
    """How an item stands, for people."""

    item: Item
    condition: Condition
    why: Why
    active: int
    rests_for_s: float
    first_token_s: float
    """The moving average; 0: not measured yet."""
    whole_s: float


Told = Callable[[Item, Condition, Why, float], None]
"""Hears of an item whose condition has changed: why, and for how many seconds it rests."""


class Balancer(Generic[Item]):
    """Chooses among items, and remembers how they did. Safe to use from several threads and tasks.

    An item that fails three times in a row rests for 10 s, unless all do. `breaker` is for items that are better not
    asked at all than asked in vain.
    """

    def __init__(
        self,
        items: Sequence[Item],
        strategy: Strategy = "round_robin",
        *,
        weights: Sequence[int] | None = None,
        terms: Sequence[Terms] | None = None,
        breaker: BreakerPolicy = NEVER,
        rng: random.Random,
        monotonic: Callable[[], float] = time.monotonic,
        on_change: Told[Item] = lambda *_: None,
        name_of: Callable[[Item], str] = str,
    ) -> None:
        if not items:
            raise ValueError("The list of endpoints is empty: there must be at least one.")
        if strategy not in get_args(Strategy):
            raise ValueError(f"There is no strategy {strategy!r}; there are {', '.join(get_args(Strategy))}.")
        weights = [1] * len(items) if weights is None else weights
        if len(weights) != len(items) or min(weights) < 1:
            raise ValueError("Every endpoint needs a weight of at least 1.")
        if len(set(items)) != len(items):
            raise ValueError("An endpoint is listed twice; give it a weight instead.")
        terms = [Terms()] * len(items) if terms is None else terms
        self._all = [State(weight=weight, terms=each) for weight, each in zip(weights, terms, strict=True)]
        usual = f"{strategy} among {len(items)}" if len(items) > 1 else ""
        self._turns = [Turn(item, index, why=usual) for index, item in enumerate(items)]
        self._names = [name_of(item) for item in items]
        self._places = {item: index for index, item in enumerate(items)}
        self._strategy: Strategy = strategy
        self._policy = breaker
        self._rng = rng
        self._monotonic = monotonic
        self._on_change = on_change
        self._told: list[Condition] = ["ok"] * len(items)
        self._lock = threading.Lock()
        self._turn = 0
        self._is_flat = all(each.priority == terms[0].priority and each.max_concurrency is None for each in terms)
        self._is_calm = True
        """Nobody is out or rests."""
        self._is_spotless = True
        """Nor has anybody failed of late."""

    def take_at_once(self, *, streamed: bool = False) -> Turn[Item] | None:
        """A turn, where there is nothing to consider but the strategy: the common case, in half the time of `take`."""
        with self._lock:
            if not (self._is_calm and self._is_flat):
                return None
            turn = self._turn
            self._turn = turn + 1
            if self._strategy == "round_robin":
                index = turn % len(self._all)
            else:
                index = self._pick(self._all, turn, self._monotonic(), streamed=streamed)
            self._all[index].active += 1
            return self._turns[index]

    def take(self, ask: Ask = Ask()) -> Turn[Item] | Nobody:  # noqa: B008 - frozen
        """A turn with one that can take the call, or why nobody can."""
        with self._lock:
            now = self._monotonic()
            found = candidates(self._all, ask, now)
            if isinstance(found, Nobody):
                return found
            turn = self._turn
            self._turn = turn + 1
            if ask.scores is not None:
                index = found[lowest([ask.scores[each] for each in found], turn)]
            else:
                states = [self._all[each] for each in found]
                index = found[self._pick(states, turn, now, streamed=ask.streamed)]
            state = self._all[index]
            state.active += 1
            probe = breaker.enter(state.breaker)
            usual = self._turns[index]
            why = self._why(found, ask, now) if usual.why else ""
            return Turn(usual.item, index, probe, why) if probe or why != usual.why else usual

    def has_other(self, ask: Ask) -> bool:
        """Whether one that has not been tried in this call could take it now."""
        with self._lock:
            found = candidates(self._all, ask, self._monotonic())
        return not isinstance(found, Nobody) and not set(found).intersection(ask.tried)

    def answered(self, turn: Turn[Item], seconds: float, *, streamed: bool) -> None:
        """How long it took until the answer began, or was there when it came in one piece."""
        now = self._monotonic()
        with self._lock:
            self._all[turn.index].pace(streamed=streamed).measure(seconds, now)

    def done(self, turn: Turn[Item], seconds: float, now: float) -> None:
        """A call has got a good answer in one piece, after so long, and gives its place back."""
        with self._lock:
            state = self._all[turn.index]
            state.whole.measure(seconds, now)
            if self._is_spotless:
                if state.active:
                    state.active -= 1
                return
        self.finished(turn)

    def finished(
        self, turn: Turn[Item], verdict: Verdict = GOOD, *, waited_s: float | None = None, streamed: bool = False
    ) -> None:
        """Gives the place back. `waited_s` is how long a call that failed had waited for an answer to begin."""
        with self._lock:
            state = self._all[turn.index]
            state.active = max(0, state.active - 1)
            if verdict is GOOD and self._is_spotless:
                return
            now = self._monotonic()
            after_call(state, verdict, probe=turn.probe, policy=self._policy, now=now)
            if verdict.ok is False:
                state.pace(streamed=streamed).worsen(waited_s or 0.0, now)
            self._look_for_trouble()
            changed = self._change(turn.index, now)
        if changed is not None:
            self._on_change(*changed)

    def mark(self, item: Item, *, healthy: bool) -> None:
        """Takes an item out, as long as there are others, until it is marked healthy again."""
        with self._lock:
            index = self._places[item]
            state = self._all[index]
            state.is_out = not healthy
            state.failures, state.resting_until, state.resting_for, state.owed = 0, 0.0, "", 0
            state.breaker = breaker.Breaker(probes=state.breaker.probes)
            self._look_for_trouble()
            changed = self._change(index, self._monotonic())
        if changed is not None:
            self._on_change(*changed)

    def view(self) -> list[View[Item]]:
        """How all stand now."""
        with self._lock:
            now = self._monotonic()
            return [
                View(
                    item=turn.item,
                    condition=condition(state, now),
                    why=state.resting_for if state.resting_until > now else "",
                    active=state.active,
                    rests_for_s=_rest_of(state, now),
                    first_token_s=state.first_token.seconds,
                    whole_s=state.whole.seconds,
                )
                for turn, state in zip(self._turns, self._all, strict=True)
            ]

    def _why(self, found: Sequence[int], ask: Ask, now: float) -> str:
        by, count = ask.scored_by or self._strategy, len(self._all)
        if len(found) == count:
            return f"{by} among {count}"
        others = passed_over(self._all, found, ask, now).items()
        listed = ", ".join(f"{self._names[index]} {objection}" for index, objection in others)
        return f"{by} among {len(found)} of {count}; {listed}"

    def _look_for_trouble(self) -> None:
        states = self._all
        self._is_calm = not any(state.is_out or state.resting_until or state.breaker.open_until for state in states)
        self._is_spotless = self._is_calm and not any(state.failures or state.breaker.history for state in states)

    def _change(self, index: int, now: float) -> tuple[Item, Condition, Why, float] | None:
        """What there is to tell of an item; that a rest is over, once a call has shown it."""
        state = self._all[index]
        current = condition(state, now)
        is_waiting = bool(state.resting_until or state.breaker.open_until)
        if current == self._told[index] or current == "half_open" or (current == "ok" and is_waiting):
            return None
        self._told[index] = current
        return self._turns[index].item, current, state.resting_for, _rest_of(state, now)

    def _pick(self, states: Sequence[State], turn: int, now: float, *, streamed: bool) -> int:
        chosen = choose(self._strategy, states, turn=turn, now=now, rng=self._rng, streamed=streamed)
        if self._strategy == "weighted":
            settle(states, chosen)
        return chosen


def _rest_of(state: State, now: float) -> float:
    return max(0.0, state.resting_until - now, state.breaker.open_until - now)


class LoadBalancer:
    """Hands out endpoints in turn; with other strategies by weight, by calls under way or by speed.

    For the last two, tell how a call went: `with balancer.use() as endpoint: …`, or `report` after `get_endpoint`.
    Raises ValueError for an empty list, an unknown strategy, or weights that do not fit.

    >>> balancer = LoadBalancer(["http://a", "http://b"])
    >>> [balancer.get_endpoint() for _ in range(3)]
    ['http://a', 'http://b', 'http://a']
    """

    def __init__(
        self, endpoints: Sequence[str], strategy: Strategy = "round_robin", *, weights: Sequence[int] | None = None
    ) -> None:
        if isinstance(endpoints, str):
            raise ValueError("Endpoints are a list of strings, not one string.")
        rng = random.Random()  # noqa: S311 - spreads load, guards nothing
        self._turns = {endpoint: Turn(endpoint, index) for index, endpoint in enumerate(endpoints)}
        self._balancer = Balancer(tuple(endpoints), strategy, weights=weights, rng=rng)

    def get_endpoint(self) -> str:
        """The endpoint for the next call."""
        turn = self._balancer.take_at_once() or self._balancer.take()
        assert isinstance(turn, Turn), "without limits and breakers there is always one"
        return turn.item

    def report(self, endpoint: str, ok: bool, seconds: float | None = None) -> None:
        """How the call went that `get_endpoint` gave an endpoint for."""
        turn = self._turns[endpoint]
        if ok and seconds is not None:
            self._balancer.answered(turn, seconds, streamed=False)
        self._balancer.finished(turn, GOOD if ok else BAD, waited_s=seconds)

    @contextmanager
    def use(self) -> Iterator[str]:
        """The endpoint for the calls in this block, which are timed; an exception counts against it."""
        endpoint = self.get_endpoint()
        started = time.monotonic()
        ok = True
        try:
            yield endpoint
        except Exception:  # and not cancellation, which is no fault of the endpoint's
            ok = False
            raise
        finally:
            self.report(endpoint, ok, time.monotonic() - started)

    def mark_unhealthy(self, endpoint: str) -> None:
        """It is skipped until it is marked healthy."""
        self._balancer.mark(endpoint, healthy=False)

    def mark_healthy(self, endpoint: str) -> None:
        """It takes part again."""
        self._balancer.mark(endpoint, healthy=True)
