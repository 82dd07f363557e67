"""Choosing one of several endpoints: strategies as plain functions of values, and the balancer that keeps the values.

The same code serves the gateway's deployments and `LoadBalancer`, the public class over plain addresses.
"""

import random
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar, get_args

Strategy = Literal["round_robin", "weighted", "least_busy", "fastest"]
STRATEGIES: Final[tuple[str, ...]] = get_args(Strategy)

SMOOTHING: Final = 0.2
"""Weight of the newest latency in the moving average."""

T = TypeVar("T")


@dataclass(slots=True)
class State:
    """What is known of one endpoint."""

    weight: int = 1
    credit: int = 0
    """Smooth weighted round robin: grows by the weight each turn, pays the total when chosen."""
    busy: int = 0
    latency_s: float = 0.0
    """Moving average; 0 until something was measured."""
    healthy: bool = True


def candidates(states: Sequence[State]) -> list[int]:
    """The healthy ones; all of them when none is, for a refusal would be certain then and a try is not."""
    healthy = [place for place, state in enumerate(states) if state.healthy]
    return healthy or list(range(len(states)))


def next_in_turn(choices: Sequence[int], last: int) -> int:
    """Round robin: the first choice after `last`, from the beginning when there is none."""
    return next((place for place in choices if place > last), choices[0])


def next_by_weight(states: Sequence[State], choices: Sequence[int]) -> int:
    """Smooth weighted round robin (as nginx spreads it): a weight of 3 in 4 never sends three in a row needlessly."""
    for place in choices:
        states[place].credit += states[place].weight
    chosen = max(choices, key=lambda place: states[place].credit)
    states[chosen].credit -= sum(states[place].weight for place in choices)
    return chosen


def least_busy(states: Sequence[State], choices: Sequence[int], last: int) -> int:
    """Fewest calls under way per weight; among equals the next in turn."""
    fewest = min(states[place].busy / states[place].weight for place in choices)
    return next_in_turn([place for place in choices if states[place].busy / states[place].weight == fewest], last)


def fastest(states: Sequence[State], choices: Sequence[int], rng: random.Random) -> int:
    """Power of two choices: of two drawn at random, the one expected to be done first.

    Always taking the best would send everybody to it at once; drawing two spreads the load and finds the slow ones.
    """
    first, second = rng.choice(choices), rng.choice(choices)
    return min((first, second), key=lambda place: states[place].latency_s * (states[place].busy + 1))


class Balancer(Generic[T]):
    """Chooses among `items` and keeps count of what it chose. Safe for threads and tasks.

    `started` and `finished` frame the use of an item; without them least_busy and fastest know nothing.
    """

    def __init__(
        self,
        items: Iterable[T],
        *,
        strategy: Strategy = "round_robin",
        weights: Sequence[int] = (),
        rng: random.Random,
    ) -> None:
        self.items = tuple(items)
        if not self.items:
            raise ValueError("a balancer needs at least one endpoint")
        if strategy not in STRATEGIES:
            raise ValueError(f"{strategy!r} is no strategy; there are {', '.join(STRATEGIES)}")
        if weights and (len(weights) != len(self.items) or min(weights) < 1):
            raise ValueError("there must be one weight per endpoint, each at least 1")
        self._places = {item: place for place, item in enumerate(self.items)}
        if len(self._places) != len(self.items):
            raise ValueError("the same endpoint stands in the list twice; give it a weight instead")
        self._states = [State(weight=weight) for weight in weights or [1] * len(self.items)]
        self._strategy = strategy
        self._rng = rng
        self._last = -1
        self._lock = threading.Lock()

    def choose(self) -> T:
        """The next item."""
        if len(self.items) == 1:
            return self.items[0]
        with self._lock:
            self._last = self._choose()
            return self.items[self._last]

    def _choose(self) -> int:
        choices = candidates(self._states)
        match self._strategy:
            case "weighted":
                return next_by_weight(self._states, choices)
            case "least_busy":
                return least_busy(self._states, choices, self._last)
            case "fastest":
                return fastest(self._states, choices, self._rng)
            case _:
                return next_in_turn(choices, self._last)

    def started(self, item: T) -> None:
        """A call to `item` begins."""
        with self._lock:
            self._states[self._places[item]].busy += 1

    def finished(self, item: T, *, ok: bool, seconds: float | None = None) -> None:
        """A call to `item` has ended; `seconds` it took, where that says something about the item."""
        with self._lock:
            state = self._states[self._places[item]]
            state.busy = max(state.busy - 1, 0)
            if ok and seconds is not None:
                known = state.latency_s or seconds
                state.latency_s = known + SMOOTHING * (seconds - known)

    def mark(self, item: T, *, healthy: bool) -> None:
        """Says whether `item` may be chosen."""
        with self._lock:
            self._states[self._places[item]].healthy = healthy


class LoadBalancer:
    """Spreads calls over addresses.

    Raises ValueError for an empty list, an unknown strategy, or weights that do not fit. `get_endpoint` skips unhealthy
    endpoints as long as there is a healthy one; it may be called from any thread or task.

    >>> balancer = LoadBalancer(["http://a", "http://b"])
    >>> [balancer.get_endpoint() for _ in range(3)]
    ['http://a', 'http://b', 'http://a']
    """

    def __init__(
        self, endpoints: Sequence[str], strategy: Strategy = "round_robin", *, weights: Sequence[int] = ()
    ) -> None:
        self._balancer = Balancer(endpoints, strategy=strategy, weights=weights, rng=random.Random())  # noqa: S311 - spreads load

    def get_endpoint(self) -> str:
        """The endpoint to call next."""
        return self._balancer.choose()

    def started(self, endpoint: str) -> None:
        """A call to `endpoint` begins: what least_busy counts."""
        self._balancer.started(endpoint)

    def finished(self, endpoint: str, *, ok: bool = True, seconds: float | None = None) -> None:
        """A call to `endpoint` has ended after `seconds`: what fastest goes by."""
        self._balancer.finished(endpoint, ok=ok, seconds=seconds)

    def mark_unhealthy(self, endpoint: str) -> None:
        """Skips `endpoint` until it is marked healthy again."""
        self._balancer.mark(endpoint, healthy=False)

    def mark_healthy(self, endpoint: str) -> None:
        """Takes `endpoint` back."""
        self._balancer.mark(endpoint, healthy=True)
