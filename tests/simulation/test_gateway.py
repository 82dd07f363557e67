"""The gateway on virtual time: whatever fails, attempts are bounded, no answer is a patchwork, and nothing is left."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest

from tests.support.gateway_world import Violation, gateway_world
from tests.support.simulation import simulate
from undercroft.errors import UpstreamError
from undercroft.gateway import attempt, call, patience
from undercroft.gateway.stages import coalesce, fallback, resume, retry
from undercroft.llm.types import Chunk

SEEDS: Final = int(os.environ.get("UNDERCROFT_SEEDS", "300"))
PARTS: Final = 4
SEEDS_TO_FIND: Final = 100


def play(seeds: Sequence[int]) -> None:
    for seed in seeds:
        try:
            simulate(seed, gateway_world)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_fails_calls_end_in_time_and_answers_are_of_one_piece(part: int) -> None:
    play(range(part, SEEDS, PARTS))


def test_a_seed_plays_the_same_again() -> None:
    assert simulate(1, gateway_world) == simulate(1, gateway_world)


def test_the_faults_that_are_played_do_happen() -> None:
    told: Counter[str] = Counter()
    for seed in range(40):
        told += simulate(seed, gateway_world).result
    wanted = ("well", "busy", "reset", "silent", "stall", "cut", "refused", "whole", "error", "left", "seams")
    assert [what for what in wanted if told[what] < 5] == []


# --- planted faults: each takes one guard away ------------------------------------------------------------------------


def counts_no_attempts(patch: pytest.MonkeyPatch) -> None:
    for module in (retry, fallback, resume):
        patch.setattr(module, "MAX_ATTEMPTS", 100)


def asks_the_silent_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(call, "is_silence", lambda error: False)


def goes_on_without_saying_with_what(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resume, "resumed", lambda request, text: request)


def ends_cleanly_where_it_was_cut(patch: pytest.MonkeyPatch) -> None:
    honest = resume.Resume._resumed

    async def resumed(self: resume.Resume, *given: Any) -> Any:
        try:
            async for chunk in honest(self, *given):
                yield chunk
        except UpstreamError:
            return

    patch.setattr(resume.Resume, "_resumed", resumed)


def loses_what_it_held_back(patch: pytest.MonkeyPatch) -> None:
    honest = attempt.Held.__init__

    def made(self: attempt.Held, held: list[Chunk], rest: Any) -> None:
        honest(self, [], rest)

    patch.setattr(attempt.Held, "__init__", made)


def waits_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(patience.Patience, "_tick", lambda self: None)


def lets_everybody_pay(patch: pytest.MonkeyPatch) -> None:
    honest = coalesce._take_over

    def take_over(trail: call.Trail, shared: coalesce.Shared) -> None:
        shared.is_paid = False
        honest(trail, shared)

    patch.setattr(coalesce, "_take_over", take_over)


def keeps_hold_of_what_was_cut(patch: pytest.MonkeyPatch) -> None:
    honest = resume.Resume._go_on

    async def go_on(self: resume.Resume, given: call.Call, *rest: Any) -> Any:
        *wanted, _mark = rest
        reply = await honest(self, given, wanted[0], wanted[1], wanted[2], 1000)
        given.trail.releases[:] = given.trail.releases[-1:]
        return reply

    patch.setattr(resume.Resume, "_go_on", go_on)


def doubles_blanks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resume.Seam, "_without_blanks", lambda self, text: text)


PLANTED: Final[list[Callable[[pytest.MonkeyPatch], None]]] = [
    counts_no_attempts,
    asks_the_silent_again,
    goes_on_without_saying_with_what,
    ends_cleanly_where_it_was_cut,
    loses_what_it_held_back,
    waits_for_ever,
    lets_everybody_pay,
    keeps_hold_of_what_was_cut,
    doubles_blanks,
]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation):
        play(range(SEEDS_TO_FIND))
