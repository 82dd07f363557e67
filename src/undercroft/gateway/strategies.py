"""Which of several endpoints takes a call that each of them could take."""

import random
from collections.abc import Sequence
from typing import Literal

from undercroft.gateway.state import State

Strategy = Literal["round_robin", "weighted", "least_busy", "fastest"]


def choose(
    strategy: Strategy, states: Sequence[State], *, turn: int, now: float, rng: random.Random, streamed: bool = False
) -> int:
    """The index of the one that takes the next call."""
    match strategy:
        case "round_robin":
            return turn % len(states)
        case "weighted":
            return weighted(states)
        case "least_busy":
            return least_busy(states, turn)
        case "fastest":
            return fastest(states, now, rng, streamed=streamed)


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


def fastest(states: Sequence[State], now: float, rng: random.Random, *, streamed: bool = False) -> int:
    """The better of two picked at random, so that not everybody runs to the same one."""
    count = len(states)
    if count == 1:
        return 0
    first = int(rng.random() * count)
    second = (first + 1 + int(rng.random() * (count - 1))) % count
    one, other = (expected_s(states[index], now, streamed=streamed) for index in (first, second))
    return first if one <= other else second


def expected_s(state: State, now: float, *, streamed: bool = False) -> float:
    """How long a call of this kind would wait: what the endpoint has shown, for each call it has to serve."""
    return state.pace(streamed=streamed).expected(now) * (state.active + 1)


def lowest(scores: Sequence[float], turn: int) -> int:
    """The lowest score; among equals, one after the other."""
    best = min(scores)
    equals = [index for index, score in enumerate(scores) if score == best]
    return equals[turn % len(equals)]
