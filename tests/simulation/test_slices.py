"""A limit that processes share by slices: whatever fails, no more is spent, and all that was spent is counted once."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import pytest
from sqlalchemy import Connection, delete, update

from tests.support.simulation import simulate
from tests.support.slice_world import LIMIT, Violation, slice_world
from undercroft.ledger.slice_stores import sql
from undercroft.ledger.slices import Slice
from undercroft.storage.schema import slices

SEEDS: Final = int(os.environ.get("UNDERCROFT_SEEDS", "300")) // 3
PARTS: Final = 4
SEEDS_TO_FIND: Final = 100
"""Within so many a planted fault must show."""


def play(seeds: Sequence[int]) -> None:
    for seed in seeds:
        try:
            simulate(seed, slice_world)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


@pytest.mark.parametrize("part", range(PARTS))
def test_no_more_is_spent_than_there_is_whatever_fails(part: int) -> None:
    play(range(part, SEEDS, PARTS))


def test_a_seed_plays_the_same_again() -> None:
    assert simulate(1, slice_world) == simulate(1, slice_world)


def test_the_faults_that_are_played_do_happen_and_most_of_the_limit_is_used_all_the_same() -> None:
    told: Counter[str] = Counter()
    for seed in range(10):
        told += simulate(seed, slice_world).result
    assert [what for what in ("kill", "stop", "outage", "losses", "stalls", "lost", "settled") if told[what] < 5] == []
    assert told["spent"] > 0.8 * 10 * LIMIT


# --- planted faults: each takes one guard away ------------------------------------------------------------------------


def takes_any_token(patch: pytest.MonkeyPatch) -> None:
    honest = sql._there

    def there(connection: Connection, held: Slice) -> Slice | None:
        found = honest(connection, held)
        return None if found is None else msgspec.structs.replace(found, token=held.token)

    patch.setattr(sql, "_there", there)


def lets_an_older_ask_shorten_a_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sql, "_not_before", lambda until_us: until_us)


def freezes_too_early(patch: pytest.MonkeyPatch) -> None:
    honest = sql._freeze
    patch.setattr(sql, "_freeze", lambda connection, *, now_us: honest(connection, now_us=now_us + 1_000_000))


def leases_what_is_frozen_to_others(patch: pytest.MonkeyPatch) -> None:
    honest = sql._freeze

    def freeze(connection: Connection, *, now_us: int) -> list[Slice]:
        frozen = honest(connection, now_us=now_us)
        connection.execute(update(slices).where(slices.c.frozen).values(amount=0))
        return frozen

    patch.setattr(sql, "_freeze", freeze)


def settles_twice(patch: pytest.MonkeyPatch) -> None:
    def settle(connection: Connection, *, held: Slice, spent: int) -> bool:
        sql._hold(connection, held.window)
        connection.execute(delete(slices).where(slices.c.owner == held.owner))
        total = update(slices).where(slices.c.owner == sql.SETTLED)
        connection.execute(total.values(amount=slices.c.amount + spent))
        return True

    patch.setattr(sql, "_settle", settle)


def frees_what_was_spent(patch: pytest.MonkeyPatch) -> None:
    honest = sql._settle
    patch.setattr(sql, "_settle", lambda connection, *, held, spent: honest(connection, held=held, spent=0))


def gives_more_than_is_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sql, "slice_size", lambda requested, *, left, owners: max(requested, left // 8))


@pytest.mark.parametrize(
    "plant",
    [
        takes_any_token,
        lets_an_older_ask_shorten_a_lease,
        freezes_too_early,
        leases_what_is_frozen_to_others,
        settles_twice,
        frees_what_was_spent,
        gives_more_than_is_left,
    ],
)
def test_a_planted_fault_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation):
        play(range(SEEDS_TO_FIND))
