"""Sums are exact, grouped as asked, and show what is not known."""

from collections.abc import Sequence

import pytest
from sqlalchemy import Connection

from tests.support.ledger import MemoryDatabase, ended, memory_database
from undercroft.ledger.entries import row_of
from undercroft.ledger.usage import DAY_US, Grouping, UsageLine, sum_usage
from undercroft.record import CallRecord, Usage, Who
from undercroft.storage.schema import calls

DAY_ONE = 1_767_225_600_000_000


def filled(database: MemoryDatabase, records: Sequence[CallRecord]) -> None:
    def work(connection: Connection) -> None:
        for record in records:
            connection.execute(calls.insert().values(row_of(record)))

    database.run(work)


def lines(records: Sequence[CallRecord], by: Grouping, **options: int) -> dict[str, UsageLine]:
    with memory_database() as database:
        filled(database, records)
        found = database.run(lambda connection: sum_usage(connection, organisation="default", by=by, **options))
        return {line.group: line for line in found}


RECORDS = [
    ended("a"),
    ended("b", model="other", who=Who(key="key_2"), usage=Usage(input=7, output=3, reasoning=2), cost_nano=1),
    ended("c", started_us=DAY_ONE + DAY_US, usage=Usage(input=9, cache_read=5, cache_write=1), cost_nano=10**15),
    ended("d", started_us=DAY_ONE + DAY_US, price="", cost_nano=0, usage_estimated=True),
    ended("e", status=401, error="invalid_api_key", attempts=0, price="", cost_nano=0, usage=Usage(), model=""),
]


def test_the_total_adds_everything_exactly() -> None:
    (line,) = lines(RECORDS, "total").values()
    assert (line.calls, line.errors, line.unpriced, line.estimated) == (5, 1, 1, 1)
    assert line.usage == Usage(input=216, output=23, cache_read=5, cache_write=1, reasoning=2)
    assert line.cost_nano == 45_000 + 1 + 10**15


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("key", {"key_1": 4, "key_2": 1}),
        ("model", {"": 1, "chat": 3, "other": 1}),
        ("provider", {"openai": 5}),
        ("day", {"2026-01-01": 3, "2026-01-02": 2}),
    ],
)
def test_groups_add_up_to_the_total(by: Grouping, groups: dict[str, int]) -> None:
    found = lines(RECORDS, by)
    assert {group: line.calls for group, line in found.items()} == groups
    (total,) = lines(RECORDS, "total").values()
    assert sum(line.cost_nano for line in found.values()) == total.cost_nano


def test_a_time_span_includes_its_start_and_not_its_end() -> None:
    assert list(lines(RECORDS, "day", since_us=DAY_ONE + DAY_US)) == ["2026-01-02"]
    assert list(lines(RECORDS, "day", until_us=DAY_ONE + DAY_US)) == ["2026-01-01"]


def test_another_organisations_calls_are_never_counted() -> None:
    stranger = ended("z", who=Who(organisation="other", key="key_1"))
    assert lines([*RECORDS, stranger], "key")["key_1"].calls == 4


def test_a_failed_call_without_tokens_has_no_unknown_price() -> None:
    failed = ended("f", status=502, error="upstream_error", price="", usage=Usage(), cost_nano=0)
    assert lines([failed], "total")[""].unpriced == 0


def test_nothing_used_is_no_line() -> None:
    assert lines([], "total") == {}
