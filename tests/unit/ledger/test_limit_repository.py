"""What the ledger says that a window of a limit has used."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from tests.support.ledger import MemoryDatabase, ended, memory_database
from undercroft.ledger.entries import row_of
from undercroft.ledger.limit_repository import used_in
from undercroft.ledger.limits import Limit, Measure
from undercroft.record import CallRecord, Usage
from undercroft.storage.schema import calls


@pytest.fixture
def database() -> Iterator[MemoryDatabase]:
    with memory_database() as database:
        yield database


def used(database: MemoryDatabase, measure: Measure, *records: CallRecord) -> int:
    def work(connection: Connection) -> int:
        for record in records:
            connection.execute(calls.insert().values(row_of(record)))
        window = Limit(scope="key", measure=measure, amount=1).window(records[0].who, records[0].started_us)
        return used_in(connection, window)

    return database.run(work)


@pytest.mark.parametrize(("measure", "amount"), [("requests", 2), ("tokens", 170), ("spend", 65_000)])
def test_an_answer_that_a_limit_has_cut_counts_and_a_call_that_it_turned_away_does_not(
    database: MemoryDatabase, measure: Measure, amount: int
) -> None:
    cut = ended("cut", status=429, error="budget_exceeded", usage=Usage(input=50, output=10), cost_nano=20_000)
    away = ended("away", status=429, error="budget_exceeded", attempts=0, usage=Usage(), cost_nano=0, price="")
    assert used(database, measure, ended("whole"), cut, away) == amount
