"""Many rows at once come out as they went in, whatever their number, on both databases."""

from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from undercroft.storage.bulk import insert_new
from undercroft.storage.engine import Database
from undercroft.storage.schema import calls, teams

TEXTS = [
    "plain",
    "",
    'a "quoted" name',
    "back\\slash",
    "a\nline\tand a tab",
    "ä 漢 🙂",
    "{a,b}",
    "%s %",
    "\\N",
    "null",
]


def team(number: int, *, organisation: str = "default") -> dict[str, Any]:
    return {
        "organisation": organisation,
        "id": f"team_{number}",
        "name": TEXTS[number % len(TEXTS)],
        "created_us": 2**63 - 1 - number,
    }


def by_column(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in ("organisation", "id", "name", "created_us")}


def stored(connection: Connection) -> list[dict[str, Any]]:
    rows = connection.execute(select(teams).where(teams.c.id != "default")).mappings()
    return sorted((dict(row) for row in rows), key=lambda row: int(row["id"].removeprefix("team_")))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 63, 64, 65, 200])
def test_any_number_of_rows_comes_out_as_it_went_in(database: Database, count: int) -> None:
    rows = [team(number) for number in range(count)]
    database.write_sync(lambda connection: insert_new(connection, teams, by_column(rows)))
    assert database.read_sync(stored) == rows


def test_the_order_of_the_columns_is_the_callers(database: Database) -> None:
    columns = dict(reversed(by_column([team(1), team(2)]).items()))
    database.write_sync(lambda connection: insert_new(connection, teams, columns))
    assert database.read_sync(stored) == [team(1), team(2)]


def test_rows_whose_key_is_taken_stay_as_they_are_and_the_others_come_in(database: Database) -> None:
    first = [team(number) for number in range(0, 100, 2)]
    again = [team(number) | {"name": "other"} for number in range(100)]
    database.write_sync(lambda connection: insert_new(connection, teams, by_column(first)))
    database.write_sync(lambda connection: insert_new(connection, teams, by_column([*again, *again])))
    names = [row["name"] for row in database.read_sync(stored)]
    assert names == [team(number)["name"] if number % 2 == 0 else "other" for number in range(100)]


@pytest.mark.parametrize("odd", [0, 31, 64, 99, 149])
def test_what_all_rows_but_one_have_is_not_taken_for_the_value_of_all(database: Database, odd: int) -> None:
    rows = [team(number) | {"name": "same", "created_us": 1} for number in range(150)]
    rows[odd] |= {"name": "other", "created_us": 2}
    database.write_sync(lambda connection: insert_new(connection, teams, by_column(rows)))
    assert database.read_sync(stored) == rows


@pytest.mark.parametrize("odd", [{}, {"team": "blue"}])
def test_empty_json_of_many_rows_stays_empty_beside_some_that_is_not(database: Database, odd: dict[str, str]) -> None:
    ids = [f"{number:03}" for number in range(150)]
    columns: dict[str, list[Any]] = {
        column.name: [{int: 0, bool: False}.get(column.type.python_type, "")] * len(ids) for column in calls.columns
    }
    columns |= {"id": ids, "tags": [odd if name == "070" else {} for name in ids], "steps": [None] * len(ids)}
    database.write_sync(lambda connection: insert_new(connection, calls, columns))
    rows = database.read_sync(lambda connection: connection.execute(select(calls.c.id, calls.c.tags)).all())
    assert {row.id: row.tags for row in rows} == {name: odd if name == "070" else {} for name in ids}


def test_json_and_truth_values_come_out_as_they_went_in(database: Database) -> None:
    tags = [{}, {"team": 'b"lue'}, {"a": "1", "ä": "\\"}]
    columns: dict[str, list[Any]] = {
        column.name: [{int: 0, bool: False}.get(column.type.python_type, "")] * len(tags) for column in calls.columns
    }
    columns |= {"id": ["a", "b", "c"], "tags": tags, "streamed": [True, False, True], "usage_estimated": [False] * 3}
    database.write_sync(lambda connection: insert_new(connection, calls, columns))

    def read(connection: Connection) -> list[tuple[Any, ...]]:
        query = select(calls.c.id, calls.c.tags, calls.c.streamed, calls.c.usage_estimated).order_by(calls.c.id)
        return [tuple(row) for row in connection.execute(query)]

    assert database.read_sync(read) == [
        ("a", tags[0], True, False),
        ("b", tags[1], False, False),
        ("c", tags[2], True, False),
    ]


def test_rows_that_break_another_rule_are_an_error_and_none_comes_in(database: Database) -> None:
    rows = [team(1), team(2, organisation="nobody's")]
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        database.write_sync(lambda connection: insert_new(connection, teams, by_column(rows)))
    count = database.read_sync(lambda connection: connection.execute(select(func.count()).select_from(teams)).scalar())
    assert count == 1
