"""Budgets of the product's processes: whatever fails, no more is spent than there is, and what was spent is counted."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import pytest

from tests.support.allowance_world import allowance_world
from tests.support.simulation import simulate
from tests.support.slice_world import LIMIT, Violation
from undercroft.ledger.allowances import Allowance, Allowances, Hold

SEEDS: Final = int(os.environ.get("UNDERCROFT_SEEDS", "300")) // 15
SEEDS_TO_FIND: Final = 20
"""Within so many a planted fault must show."""


def play(seeds: Sequence[int]) -> Counter[str]:
    told: Counter[str] = Counter()
    for seed in seeds:
        try:
            told += simulate(seed, allowance_world).result
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    return told


def test_no_budget_is_overspent_and_all_that_was_spent_is_counted_whatever_fails() -> None:
    told = play(range(SEEDS))
    assert [what for what in ("kill", "stop", "outage", "losses", "stalls", "recovered") if not told[what]] == []
    assert told["spent"] > 0.8 * SEEDS * LIMIT


# --- planted faults ---------------------------------------------------------------------------------------------------


def forgets_what_was_spent(patch: pytest.MonkeyPatch) -> None:
    def settle(self: Hold, *, tokens: int, cost_nano: int) -> None:
        self.drop()

    patch.setattr(Hold, "settle", settle)


def holds_nothing_for_calls_under_way(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Allowance, "free", property(lambda self: self.slice.amount - self.spent))


def takes_the_living_for_dead(patch: pytest.MonkeyPatch) -> None:
    async def recover(self: Allowances) -> None:
        for frozen in await self._store.freeze():
            await self._store.settle(frozen, 0)

    patch.setattr(Allowances, "recover", recover)


def keeps_what_it_gave_back(patch: pytest.MonkeyPatch) -> None:
    async def give_back(self: Allowances, allowance: Allowance, amount: int) -> None:
        await self._store.give_back(allowance.slice, amount)

    patch.setattr(Allowances, "_give_back", give_back)


@pytest.mark.parametrize(
    "plant",
    [
        forgets_what_was_spent,
        holds_nothing_for_calls_under_way,
        takes_the_living_for_dead,
        keeps_what_it_gave_back,
    ],
)
def test_a_planted_fault_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation):
        play(range(SEEDS_TO_FIND))
