"""The ledger on the simulator: whatever fails, every call is booked once and as it was; and planted faults are found.

`UNDERCROFT_SEEDS=5000` plays more seeds. One that fails is a bug report: `simulate(seed, spool_world)` plays it again.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pytest
from sqlalchemy import Connection

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
SEEDS_TO_FIND: Final = 100
"""Within so many a planted fault must show."""


@pytest.fixture(autouse=True)
def _without_logs() -> Iterator[None]:
    """The product warns of each fault that is played to it."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_call_is_booked_once_and_as_it_was_whatever_fails(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        try:
            simulate(seed, spool_world)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


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

    def book(connection: Connection, **given: object) -> bool:
        honest(connection, **given)  # type: ignore[arg-type]  # handed on as it came
        return True

    patch.setattr(shipping, "book", book)


def without_on_conflict(patch: pytest.MonkeyPatch) -> None:
    class Plain:
        """An INSERT that ignores being told to do nothing, into `calls` only."""

    honest = shipping.insert

    def plain(connection: Connection, table: object) -> object:
        statement = honest(connection, table)  # type: ignore[arg-type]  # handed on as it came
        if table is calls:
            statement.on_conflict_do_nothing = lambda: statement  # type: ignore[method-assign,misc,assignment]
        return statement

    patch.setattr(shipping, "insert", plain)


def without_checksum(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(frames, "crc32", lambda payload: 0)


def without_undoing_half_a_record(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Spool, "_undo", lambda self: None)


def claims_the_folders_of_the_living(patch: pytest.MonkeyPatch) -> None:
    honest = SimulatedDisk.claim

    def claim(self: SimulatedDisk, folder: object) -> int | None:
        found = self._medium.folders.get(folder.name)
        ...


def forgets_what_it_owes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(spool, "MOST_OWED", 0)


def pays_without_being_asked_twice(patch: pytest.MonkeyPatch) -> None:
    ...
