"""Which of several endpoints takes the next call."""

import math
import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar, get_args

Strategy = Literal["round_robin", "weighted", "least_busy", "fastest"]

FAILURES_BEFORE_REST: Final = 3
"""In a row."""
REST_S: Final = 10.0
MEMORY_S: Final = 10.0
"""A latency measured this long ago counts a third: who was slow once gets another chance."""
SLOWEST_S: Final = 60.0
FIRST_GUESS_S: Final = 0.5
"""How slow an endpoint is thought to be that fails before it was ever measured: failing fast is not being fast."""


@dataclass(slots=True)
class State:
    """What is known of an endpoint when one has to be chosen."""

    weight: int = 1
    owed: int = 0
    """By `weighted`: turns it is behind its share."""
    active: int = 0
    latency_s: float = 0.0
    """A moving average; 0: not measured yet."""
    measured_at: float = 0.0
    failures: int = 0
    """In a row."""
    resting_until: float = 0.0
    is_out: bool = False
    """Marked as unhealthy."""


def usable(states: Sequence[State], now: float) -> list[int]:
    """Those that may be chosen: neither marked unhealthy nor resting. With none left, the resting ones, then all:
    a try may fail, a refusal has failed already."""
    healthy = [index for index, state in enumerate(states) if not state.is_out]
    rested = [index for index in healthy if states[index].resting_until <= now]
    return rested or healthy or list(range(len(states)))


def choose(strategy: Strategy, states: Sequence[State], *, turn: int, now: float, rng: random.Random) -> int:
    """The index of the one that takes the next call."""
    match strategy:
        case "round_robin":
            return turn % len(states)
        case "weighted":
            return weighted(states)
        case "least_busy":
            return least_busy(states, turn)
        case "fastest":
            return fastest(states, now, rng)


def weighted(states: Sequence[State]) -> int:
    """By weight, and evenly spread: 3 and 1 give a a b a, not a a a b. Turns are owed and paid in `settle`."""
    best = 0
    for index, state in enumerate(states):
        if state.owed + state.weight > states[best].owed + states[best].weight:
            best = index
    return best


def settle(states: Sequence[State], chosen: int) -> None:
    """Everyone is owed its weight; whoever was chosen pays for all."""
    for state in states:
        state.owed += state.weight
        states[chosen].owed -= state.weight


def least_busy(states: Sequence[State], turn: int) -> int:
    """The fewest calls under way for its weight; among equals, one after the other."""
    count = len(states)
    best = turn % count
    for offset in range(1, count):
        index = (turn + offset) % count
        if states[index].active * states[best].weight < states[best].active * states[index].weight:
            best = index
    return best


def fastest(states: Sequence[State], now: float, rng: random.Random) -> int:
    """The better of two picked at random, so that not everybody runs to the same one."""
    count = len(states)
    if count == 1:
        return 0
    first = int(rng.random() * count)
    second = (first + 1 + int(rng.random() * (count - 1))) % count
    return first if expected_s(states[first], now) <= expected_s(states[second], now) else second


def expected_s(state: State, now: float) -> float:
    """How long a call would take: the latency it has shown, fading with time, for each call it has to serve."""
    return state.latency_s * math.exp((state.measured_at - now) / MEMORY_S) * (state.active + 1)


def after_call(state: State, *, ok: bool, seconds: float | None, now: float) -> None:
    """What a call that has ended says about its endpoint."""
    state.active = max(0, state.active - 1)
    if ok:
        state.failures = 0
        state.resting_until = 0.0
        if seconds is None:
            return
        # The longer ago the last measurement, the less it counts.
        old = math.exp((state.measured_at - now) / MEMORY_S) * 0.7 if state.latency_s else 0.0
        state.latency_s = old * state.latency_s + (1 - old) * seconds
    else:
        state.failures += 1
        if state.failures >= FAILURES_BEFORE_REST:
            state.resting_until = now + REST_S
        state.latency_s = min(SLOWEST_S, 2 * max(state.latency_s or FIRST_GUESS_S, seconds or 0.0))
    state.measured_at = now


Item = TypeVar("Item", bound=Hashable)


class Balancer(Generic[Item]):
    """Chooses among items, and remembers how they did. Safe to use from several threads and tasks.

    An item that fails three times in a row rests for 10 s, unless all do.
    """

    def __init__(
        self,
        items: Sequence[Item],
        strategy: Strategy = "round_robin",
        *,
        weights: Sequence[int] | None = None,
        rng: random.Random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not items:
            raise ValueError("The list of endpoints is empty: there must be at least one.")
        if strategy not in get_args(Strategy):
            raise ValueError(f"There is no strategy {strategy!r}; there are {', '.join(get_args(Strategy))}.")
        weights = [1] * len(items) if weights is None else weights
        if len(weights) != len(items) or min(weights) < 1:
            raise ValueError("Every endpoint needs a weight of at least 1.")
        self._states = {item: State(weight=weight) for item, weight in zip(items, weights, strict=True)}
        if len(self._states) != len(items):
            raise ValueError("An endpoint is listed twice; give it a weight instead.")
        self._items = tuple(items)
        self._all = list(self._states.values())
        self._strategy = strategy
        self._rng = rng
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._turn = 0
        self._troubled = False
        """Somebody is out or resting."""

    def choose(self) -> Item:
        """The item for the next call."""
        with self._lock:
            return self._items[self._next()]

    def take(self) -> Item:
        """`choose` and `started` in one step: no other thread comes in between."""
        with self._lock:
            index = self._next()
            self._all[index].active += 1
            return self._items[index]

    def started(self, item: Item) -> None:
        """A call has begun."""
        with self._lock:
            self._states[item].active += 1

    def finished(self, item: Item, *, ok: bool, seconds: float | None = None) -> None:
        """It has ended; `seconds` is how long it took, where that says something about the item."""
        now = self._monotonic()
        with self._lock:
            after_call(self._states[item], ok=ok, seconds=seconds, now=now)
            if self._troubled or not ok:
                self._look_for_trouble()

    def mark(self, item: Item, *, healthy: bool) -> None:
        """Takes an item out, as long as there are others, until it is marked healthy again."""
        with self._lock:
            state = self._states[item]
            state.is_out = not healthy
            state.failures, state.resting_until, state.owed = 0, 0.0, 0
            self._look_for_trouble()

    def _look_for_trouble(self) -> None:
        self._troubled = any(state.is_out or state.resting_until for state in self._all)

    def _next(self) -> int:
        turn = self._turn
        self._turn = turn + 1
        if not self._troubled:
            if self._strategy == "round_robin":  # the common case: what `choose` would say, in half the time
                return turn % len(self._all)
            return self._pick(self._all, turn, self._monotonic())
        now = self._monotonic()
        candidates = usable(self._all, now)
        return candidates[self._pick([self._all[index] for index in candidates], turn, now)]

    def _pick(self, states: Sequence[State], turn: int, now: float) -> int:
        chosen = choose(self._strategy, states, turn=turn, now=now, rng=self._rng)
        if self._strategy == "weighted":
            settle(states, chosen)
        return chosen


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
        self._balancer = Balancer(tuple(endpoints), strategy, weights=weights, rng=rng)

    def get_endpoint(self) -> str:
        """The endpoint for the next call."""
        return self._balancer.take()

    def report(self, endpoint: str, ok: bool, seconds: float | None = None) -> None:
        """How the call went that `get_endpoint` gave an endpoint for."""
        self._balancer.finished(endpoint, ok=ok, seconds=seconds)

    @contextmanager
    def use(self) -> Iterator[str]:
        """The endpoint for the calls in this block, which are timed; an exception counts against it."""
        endpoint = self._balancer.take()
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
