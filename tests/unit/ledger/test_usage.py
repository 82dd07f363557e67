"""Sums are exact, grouped as asked, and show what is not known."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.support.ledger import MemoryDatabase, ended, memory_database
from undercroft.ledger.entries import row_of
from undercroft.ledger.export import as_csv
from undercroft.ledger.usage import DAY_US, Grouping, UsageLine, grouping_of, sum_usage
from undercroft.record import CallRecord, Usage, Who
from undercroft.storage.schema import api_keys, calls

DAY_ONE = 1_767_225_600_000_000


def filled(database: MemoryDatabase, records: Sequence[CallRecord]) -> None:
    def work(connection: Connection) -> None:
        for record in records:
            connection.execute(calls.insert().values(row_of(record)))

    database.run(work)


def lines(records: Sequence[CallRecord], by: Grouping, **options: Any) -> dict[str, UsageLine]:
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
        ("user", {"ada": 4, "default": 1}),
        ("team", {"default": 5}),
        ("hour", {"2026-01-01T00:00Z": 3, "2026-01-02T00:00Z": 2}),
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


def test_a_tag_is_the_calls_own_or_else_its_keys_and_loses_nothing() -> None:
    records = [
        ended("a", tags={"project": "search"}, cost_nano=1),
        ended("b", tags={"project": "chat", "env": "x"}, cost_nano=10),
        ended("c", who=Who(key="key_2"), cost_nano=100),
        ended("d", who=Who(key="key_2"), tags={"project": "own"}, cost_nano=1000),
        ended("e", who=Who(key="gone"), cost_nano=10_000),
    ]
    with memory_database() as database:
        filled(database, records)
        database.run(lambda connection: connection.execute(api_keys.insert().values(KEY)))
        found = database.run(lambda connection: sum_usage(connection, organisation="default", by="tag", tag="project"))
    assert {line.group: line.cost_nano for line in found} == {
        "search": 1,
        "chat": 10,
        "of-the-key": 100,
        "own": 1000,
        "": 10_000,
    }


KEY = {
    "organisation": "default",
    "id": "key_2",
    "team": "default",
    "user_id": "default",
    "name": "k",
    "hash": b"h",
    "permissions": [],
    "created_us": 0,
    "tags": {"project": "of-the-key"},
}


@pytest.mark.parametrize("text", ["", "tag", "tag:", "tag:a b", 'tag:x"]', "model:x", "total", "colour"])
def test_a_grouping_that_there_is_not_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(ValueError, match=r"takes key, user, team, .* or tag:NAME, got"):
        grouping_of(text)


def test_groupings_are_written_as_they_are_called() -> None:
    assert grouping_of("hour") == ("hour", "")
    assert grouping_of("tag:cost-centre") == ("tag", "cost-centre")


def test_a_spreadsheet_gets_the_exact_cost_and_no_formula() -> None:
    found = lines([ended("a", model="=1+1", cost_nano=1), ended("b", model='say "hi"', cost_nano=10**14 + 1)], "model")
    text = as_csv("model", list(found.values()))
    assert text.splitlines()[0].startswith("model,calls,errors,input_tokens,")
    assert "'=1+1,1,0," in text
    assert '"say ""hi""",1,' in text
    assert ",100000.000000001," in text
