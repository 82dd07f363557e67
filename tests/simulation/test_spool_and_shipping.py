"""The ledger on the simulator: whatever fails, every call is booked once and as it was; and planted faults are found.

`UNDERCROFT_SEEDS=5000` plays more seeds. One that fails is a bug report: `simulate(seed, spool_world)` plays it again.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Connection, Table, delete
from sqlalchemy.exc import IntegrityError

from tests.support.simulated_disk import SimulatedDisk
from tests.support.simulation import simulate
from tests.support.spool_world import Violation, spool_world
from undercroft.ledger import frames, shipping, spool
from undercroft.ledger.entries import row_of
from undercroft.ledger.reader import Place, SpoolReader
from undercroft.ledger.shipping import Shipper
from undercroft.ledger.spool import Spool
from undercroft.record import CallRecord
from undercroft.storage.schema import calls, insert, spool_offsets

SEEDS: Final = int(os.environ.get("UNDERCROFT_SEEDS", "300"))
PARTS: Final = 10
"""So that several workers of pytest-xdist share them."""
SEEDS_TO_FIND: Final = 150
"""Within so many a planted fault must show."""


@pytest.fixture(autouse=True)
def _without_logs() -> Iterator[None]:
    """The product warns of each fault that is played to it."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def play(seeds: Sequence[int]) -> None:
    for seed in seeds:
        try:
            simulate(seed, spool_world)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


@pytest.mark.parametrize("part", range(PARTS))
def test_every_call_is_booked_once_and_as_it_was_whatever_fails(part: int) -> None:
    play(range(part, SEEDS, PARTS))


def test_a_seed_plays_the_same_again() -> None:
    assert simulate(1, spool_world) == simulate(1, spool_world)


def test_the_faults_that_are_played_do_happen() -> None:
    told: Counter[str] = Counter()
    for seed in range(15):
        told += simulate(seed, spool_world).result
    faults = ("kill", "fuse", "stop", "shut_down", "pass_by", "power", "outage", "losses", "disk")
    assert [fault for fault in faults if told[fault] < 2] == []
    assert [fate for fate in ("acknowledged", "interrupted", "paid", "unsaid") if told[fate] < 5] == []


# --- planted faults: each takes one guard away ------------------------------------------------------------------------


def without_compare_and_swap(patch: pytest.MonkeyPatch) -> None:
    def book(
        connection: Connection,
        *,
        spool: str,
        before: Place | None,
        after: Place,
        records: Sequence[CallRecord],
        now_us: int,
    ) -> bool:
        place = {"segment": after.segment, "position": after.position, "updated_us": now_us}
        move = insert(connection, spool_offsets).values(spool=spool, **place)
        connection.execute(move.on_conflict_do_update(index_elements=["spool"], set_=place))
        connection.execute(insert(connection, calls).on_conflict_do_nothing(), [row_of(record) for record in records])
        return True

    patch.setattr(shipping, "book", book)


def a_refused_move_counts_as_done(patch: pytest.MonkeyPatch) -> None:
    honest = shipping.book

    def book(connection: Connection, **given: Any) -> bool:
        honest(connection, **given)
        return True

    patch.setattr(shipping, "book", book)


def without_on_conflict(patch: pytest.MonkeyPatch) -> None:
    def plain(connection: Connection, table: Table, columns: dict[str, Sequence[Any]]) -> None:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        connection.execute(insert(connection, table), rows)

    patch.setattr(shipping, "insert_new", plain)


def forgets_the_place_of_a_spool_that_is_gone(patch: pytest.MonkeyPatch) -> None:
    def leave(connection: Connection, *, spool: str, now_us: int) -> None:
        connection.execute(delete(spool_offsets).where(spool_offsets.c.spool == spool))

    patch.setattr(shipping, "leave", leave)


def without_a_checksum(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(frames, "crc32", lambda payload: 0)


def leaves_half_a_record_in_the_middle(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Spool, "_undo", lambda spool: None)


def forgets_what_it_owes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(spool, "MOST_OWED", 0)


def acknowledges_before_the_medium_does(patch: pytest.MonkeyPatch) -> None:
    async def durable(self: Spool) -> None:
        pass

    patch.setattr(Spool, "durable", durable)


def claims_the_folders_of_the_living(patch: pytest.MonkeyPatch) -> None:
    def claim(self: SimulatedDisk, folder: Path) -> int:
        return -1

    patch.setattr(SimulatedDisk, "claim", claim)


def books_open_calls_of_the_living(patch: pytest.MonkeyPatch) -> None:
    honest = Shipper._ship

    async def ship(self: Shipper, shipment: Any, done: Any) -> None:
        await honest(self, shipment, done)
        await self._book_interrupted(shipment)

    patch.setattr(Shipper, "_ship", ship)


def never_books_what_the_dead_left_open(patch: pytest.MonkeyPatch) -> None:
    async def book_interrupted(self: Shipper, shipment: Any) -> int:
        return 0

    patch.setattr(Shipper, "_book_interrupted", book_interrupted)


def removes_segments_with_open_calls(patch: pytest.MonkeyPatch) -> None:
    def done_with(self: SpoolReader, *, is_alive: bool) -> list[int]:
        return [segment for segment in self.segments() if not is_alive or segment < self.scanned.segment]

    patch.setattr(SpoolReader, "done_with", done_with)


@pytest.mark.parametrize(
    "plant",
    [
        without_compare_and_swap,
        a_refused_move_counts_as_done,
        without_on_conflict,
        forgets_the_place_of_a_spool_that_is_gone,
        without_a_checksum,
        leaves_half_a_record_in_the_middle,
        forgets_what_it_owes,
        acknowledges_before_the_medium_does,
        claims_the_folders_of_the_living,
        books_open_calls_of_the_living,
        never_books_what_the_dead_left_open,
        removes_segments_with_open_calls,
    ],
)
def test_a_planted_fault_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises((Violation, IntegrityError)):
        play(range(SEEDS_TO_FIND))
