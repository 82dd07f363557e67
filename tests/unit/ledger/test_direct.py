"""What the direct ledger has confirmed is in the database, once, whatever the database did."""

import asyncio
from collections.abc import Iterator
from typing import Literal

import pytest

from tests.support.ledger import MemoryDatabase, ended, memory_database, opened
from undercroft.errors import Unavailable
from undercroft.ledger import direct
from undercroft.ledger.direct import DirectLedger
from undercroft.record import CallProgressed


@pytest.fixture
def database() -> Iterator[MemoryDatabase]:
    with memory_database() as made:
        yield made


def ledger(database: MemoryDatabase, away: str = "") -> DirectLedger:
    return DirectLedger(database, name="process_1", away=lambda: away)


def ids(database: MemoryDatabase) -> list[str]:
    return [record.id for record in database.rows()]


def test_what_is_durable_is_committed(database: MemoryDatabase) -> None:
    async def main() -> None:
        books = ledger(database)
        books.append(opened("a"))
        books.append(CallProgressed(id="a", output=7))
        books.append(ended("a"))
        assert ids(database) == []
        await books.durable()

    asyncio.run(main())

    assert database.rows() == [ended("a")]


def test_nothing_to_write_asks_nobody(database: MemoryDatabase) -> None:
    asyncio.run(ledger(database).durable())

    assert database.count == 0


def test_all_who_wait_share_transactions_and_each_finds_its_own_record_committed(database: MemoryDatabase) -> None:
    async def main() -> None:
        books = ledger(database)

        async def call(id: str) -> None:
            books.append(ended(id))
            await books.durable()
            assert id in ids(database)

        await asyncio.gather(*(call(f"call_{number:03}") for number in range(600)))

    asyncio.run(main())

    assert len(ids(database)) == 600
    assert database.count <= 2


@pytest.mark.parametrize("failure", ["refused", "answer lost"])
def test_what_the_database_did_not_confirm_is_tried_again_and_booked_once(
    database: MemoryDatabase, failure: Literal["refused", "answer lost"]
) -> None:
    async def main() -> None:
        books = ledger(database)
        books.append(ended("a"))
        database.fail = lambda _: failure
        with pytest.raises(Unavailable, match="record cannot be written") as caught:
            await books.durable()
        assert caught.value.code == "ledger_unavailable"
        assert books.problem

        with pytest.raises(Unavailable):
            books.append(opened("b"))  # it could not be booked either
        books.append(ended("c"))  # a call that had begun before
        database.fail = None
        await books.durable()
        assert not books.problem
        books.append(opened("d"))

    asyncio.run(main())

    assert ids(database) == ["a", "c"]


def test_no_call_starts_while_the_database_is_known_to_be_away(database: MemoryDatabase) -> None:
    with pytest.raises(Unavailable, match="it moved"):
        ledger(database, away="it moved").append(opened("a"))


def test_memory_is_bounded_while_the_database_is_away(
    database: MemoryDatabase,
) -> None:
    books = ledger(database)
    for number in range(direct.MOST_WAITING):
        books.append(ended(f"call_{number}"))

    with pytest.raises(Unavailable):
        books.append(ended("one_more"))


def test_one_who_waits_no_longer_leaves_the_others_their_transaction(database: MemoryDatabase) -> None:
    async def main() -> None:
        books = ledger(database)
        books.append(ended("a"))
        impatient = asyncio.create_task(books.durable())
        await asyncio.sleep(0)
        patient = asyncio.create_task(books.durable())
        impatient.cancel()
        await patient
        assert ids(database) == ["a"]

    asyncio.run(main())
