"""Limits and breakers under concurrency, failures and callers who leave: never too many, and never two probes."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest

from tests.support.routing_world import Violation, routing_world
from tests.support.simulation import simulate
from undercroft.gateway import breaker
from undercroft.gateway.balance import Balancer
from undercroft.gateway.state import State
from undercroft.gateway.waiting import Line

SEEDS: Final = int(os.environ.get("UNDERCROFT_SEEDS", "300")) // 3
SEEDS_TO_FIND: Final = 60
"""Within so many a planted fault must show."""


def play(seeds: Sequence[int]) -> None:
    for seed in seeds:
        try:
            simulate(seed, routing_world)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


def test_limits_hold_and_exactly_one_probe_goes_whatever_fails() -> None:
    play(range(SEEDS))


def test_a_seed_plays_the_same_again() -> None:
    assert simulate(3, routing_world) == simulate(3, routing_world)


def test_what_is_played_does_happen() -> None:
    told: Counter[str] = Counter()
    for seed in range(10):
        told += simulate(seed, routing_world).result
    assert [what for what in ("answered", "failed", "left", "refused", "probes", "failures") if told[what] < 5] == []


# --- planted faults: each takes one guard away ------------------------------------------------------------------------


def no_limit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "has_room", property(lambda self: True))


def probes_without_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(breaker, "lets_through", lambda each, now: each.open_until <= now)


def a_probe_that_leaves_is_not_missed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(breaker, "given_up", lambda each, probe: None)


def a_place_is_lost_with_its_caller(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Line, "give_back", lambda self, turn: None)


def nobody_is_called(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Line, "hand_out", lambda self: None)


def places_are_kept_after_failures(patch: pytest.MonkeyPatch) -> None:
    honest: Any = Balancer.finished

    def finished(self: Any, turn: Any, *verdict: Any, **more: Any) -> None:
        if not (verdict and verdict[0].ok is False):
            honest(self, turn, *verdict, **more)

    patch.setattr(Balancer, "finished", finished)


@pytest.mark.parametrize(
    "plant",
    [
        no_limit,
        probes_without_end,
        a_probe_that_leaves_is_not_missed,
        a_place_is_lost_with_its_caller,
        nobody_is_called,
        places_are_kept_after_failures,
    ],
)
def test_a_planted_fault_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises((Violation, AssertionError, TimeoutError)):
        play(range(SEEDS_TO_FIND))
