"""`ledger verify` is content with true books, and names what is wrong with false ones."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, update

from tests.support.clock import ManualClock
from tests.support.ledger import MemoryDatabase, ProcessDisk, ended, memory_database, opened
from undercroft.ids import Ids
from undercroft.ledger.entries import row_of
from undercroft.ledger.frames import HEADER
from undercroft.ledger.shipping import Shipper
from undercroft.ledger.spool import Spool
from undercroft.ledger.verify import MOST_EXAMPLES, Findings, verify
from undercroft.record import Who
from undercroft.storage.schema import calls, spool_offsets


class Books:
    """A process with ten booked calls and one that waits on disk."""

    def __init__(self, root: Path, database: MemoryDatabase) -> None:
        clock = ManualClock()
        self.root = root
        self.database = database
        self.disk = ProcessDisk()
        self.spool = Spool(root, clock=clock, ids=Ids(clock), disk=self.disk)
        for number in range(10):
            self.spool.append(ended(f"call_{number}"))
        shipper = Shipper(database, root, clock=clock, price=lambda opened: None, own=self.spool, disk=self.disk)
        asyncio.run(shipper.flush())
        self.spool.append(opened("running"))
        self.spool.append(ended("waiting"))

    def verify(self) -> Findings:
        return self.database.run(lambda connection: verify(connection, self.root))

    def spoil(self, statement: object) -> list[str]:
        def work(connection: Connection) -> None:
            connection.execute(statement)  # type: ignore[call-overload]  # any statement

        self.database.run(work)
        return self.verify().faults

    @property
    def segment(self) -> Path:
        (segment,) = self.spool.folder.iterdir()
        return segment


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    with memory_database() as database:
        books = Books(tmp_path / "spool", database)
        yield books
        books.disk.die()


def test_true_books_are_right(books: Books) -> None:
    findings = books.verify()
    assert findings == Findings(calls=10, cost_nano=450_000, spools=1, waiting=1)


def test_a_changed_cost_is_found(books: Books) -> None:
    faults = books.spoil(update(calls).where(calls.c.id == "call_3").values(cost_nano=45_001))
    assert (
        "call call_3 is booked at 45001 nano-dollars; its price 'genai-prices 0.2.3 0.25/2/0.025' makes it 45000"
        in faults
    )
    assert "call call_3 cost 45000 nano-dollars when it ended and is booked at 45001" in faults
    assert "the calls cost 450001 nano-dollars in sum; their prices make it 450000" in faults


def test_a_cost_without_a_price_is_found(books: Books) -> None:
    faults = books.spoil(update(calls).where(calls.c.id == "call_3").values(price=""))
    assert "call call_3 is booked at 45000 nano-dollars; an unknown price makes it 0" in faults


def test_an_unknown_price_is_counted_and_no_fault(books: Books) -> None:
    row = row_of(ended("unknown", price="", cost_nano=0)) | {"id": "unknown"}
    assert books.spoil(insert(calls).values(row)) == []
    assert books.verify().unpriced == 1


def test_a_price_without_rates_is_counted_as_unproven(books: Books) -> None:
    assert books.spoil(insert(calls).values(row_of(ended("old", price="settings")))) == []
    assert books.verify().unproven == 1


def test_a_lost_row_is_found(books: Books) -> None:
    faults = books.spoil(delete(calls).where(calls.c.id == "call_7"))
    assert faults == ["call call_7 counts as booked and is not in the ledger"]


def test_a_call_under_two_organisations_is_found(books: Books) -> None:
    row = row_of(ended("call_1", who=Who(organisation="other")))
    assert books.spoil(insert(calls).values(row)) == ["call call_1 is booked 2 times"]


def test_a_place_beyond_the_end_of_its_segment_is_found(books: Books) -> None:
    faults = books.spoil(update(spool_offsets).values(position=10**8))
    assert (
        f"{books.segment} has {books.segment.stat().st_size} bytes; the ledger has booked 100000000 of them" in faults
    )


def test_damage_is_found_before_and_after_the_spool_is_shipped(books: Books) -> None:
    books.disk.die()
    data = bytearray(books.segment.read_bytes())
    data[len(HEADER) + 30] ^= 0xFF
    books.segment.write_bytes(bytes(data))
    assert any("unreadable bytes at 16" in fault for fault in books.verify().faults)
    shipper = Shipper(books.database, books.root, clock=ManualClock(), price=lambda opened: None)
    asyncio.run(shipper.flush())
    (fault,) = books.verify().faults
    assert fault.endswith("is damaged")


def test_a_torn_end_is_counted_and_no_fault(books: Books) -> None:
    books.disk.die(torn=b"\x10\0\x10")
    findings = books.verify()
    assert (findings.torn_bytes, findings.faults) == (3, [])


def test_a_spool_of_a_newer_version_is_named(books: Books) -> None:
    data = bytearray(books.segment.read_bytes())
    data[8] = 9
    books.segment.write_bytes(bytes(data))
    (fault,) = books.verify().faults
    assert "format 9" in fault


def test_many_faults_are_counted_and_not_all_spelled_out(books: Books) -> None:
    rows = [row_of(ended(f"false_{number:02}", cost_nano=1)) for number in range(50)]
    faults = books.spoil(insert(calls).values(rows))
    assert len([fault for fault in faults if "false_" in fault]) == MOST_EXAMPLES
    assert any("31 more faults like these" in fault for fault in faults)
