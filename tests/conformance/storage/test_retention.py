"""What is deleted with time, on both databases."""

from functools import partial

import pytest
from sqlalchemy import Connection, insert, select

from tests.support.backups import row_of
from undercroft.settings.shape import settings_shape
from undercroft.storage.engine import Database
from undercroft.storage.retention import DAY_US, GOVERNED, Terms, sweep_some
from undercroft.storage.schema import batch_items, batches, calls, feedback, metadata, slices

NOW_US = 1_000 * DAY_US


def test_of_every_table_it_is_said_how_long_its_rows_are_kept() -> None:
    assert sorted(GOVERNED) == sorted(metadata.tables)


def test_the_settings_that_govern_a_table_are_there() -> None:
    for said in GOVERNED.values():
        if said.startswith("["):
            section, _, names = said[1:].partition("] ")
            for name in names.split(", "):
                assert settings_shape().at((section, name)) is not None, said


@pytest.fixture
def filled(database: Database) -> Database:
    """Rows of a hundred and of ten days ago."""

    def fill(connection: Connection) -> None:
        for number, days in enumerate((100, 10)):
            at_us = NOW_US - days * DAY_US
            row = partial(row_of, number=number, hook_secret="")
            connection.execute(
                insert(calls), [row(calls) | {"id": f"{days}", "organisation": "o", "started_us": at_us}]
            )
            connection.execute(insert(feedback), [row(feedback) | {"id": f"{days}", "created_us": at_us}])
            ended = {"id": f"{days}", "organisation": "o", "ended_us": at_us, "active": False}
            connection.execute(insert(batches), [row(batches) | ended])
            lines = [row(batch_items) | {"organisation": "o", "batch": f"{days}", "line": line} for line in range(3)]
            connection.execute(insert(batch_items), lines)

    database.write_sync(fill)
    return database


def swept(database: Database, terms: Terms) -> int:
    count = 0
    while deleted := database.write_sync(partial(sweep_some, terms=terms, now_us=NOW_US)):
        count += deleted
    return count


def ids(database: Database, table: str) -> list[str]:
    column = metadata.tables[table].c["batch" if table == "batch_items" else "id"]
    return sorted(set(database.read_sync(lambda connection: connection.execute(select(column)).scalars().all())))


def test_nothing_goes_where_nothing_is_said(filled: Database) -> None:
    assert swept(filled, Terms()) == 0


def test_what_is_older_goes_and_the_rest_stays(filled: Database) -> None:
    assert swept(filled, Terms(calls_days=62, batches_days=62, feedback_days=62)) == 6

    for table in ("calls", "batches", "batch_items", "feedback"):
        assert ids(filled, table) == ["10"]


def test_calls_that_a_budget_without_an_end_counts_stay(filled: Database) -> None:
    row = row_of(slices, 1, "") | {"organisation": "o", "period": "total"}
    filled.write_sync(lambda connection: connection.execute(insert(slices), [row]))

    assert swept(filled, Terms(calls_days=62)) == 0
    assert ids(filled, "calls") == ["10", "100"]


def test_a_batch_that_has_not_ended_stays(filled: Database) -> None:
    filled.write_sync(lambda connection: connection.execute(batches.update().values(ended_us=0)))

    assert swept(filled, Terms(batches_days=62)) == 0
