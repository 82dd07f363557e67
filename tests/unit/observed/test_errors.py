"""The same error in the same place is one group, however often it happens and whatever it says."""

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from undercroft.observed.errors import (
    Occurrence,
    count_errors,
    fingerprint_of,
    list_errors,
    note_errors,
    places_of,
    prune_errors,
    together,
)
from undercroft.storage.schema import error_groups, metadata


@pytest.fixture
def connection() -> Connection:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine, tables=[error_groups])
    return engine.connect()


def occurrence(kind: str = "RuntimeError", *, message: str = "m", at_us: int = 1) -> Occurrence:
    return Occurrence(
        fingerprint=fingerprint_of(kind, ["a.py:f"]),
        kind=kind,
        message=message,
        place="a.py:f",
        sample="s",
        at_us=at_us,
    )


def raised(message: str) -> list[str]:
    try:
        int(message)
    except ValueError as error:
        return places_of(error.__traceback__)
    raise AssertionError


def test_a_fingerprint_goes_by_type_and_place_and_not_by_what_is_said() -> None:
    assert raised("one") == raised("another")
    assert fingerprint_of("ValueError", raised("x")) == fingerprint_of("ValueError", raised("y"))
    assert fingerprint_of("ValueError", raised("x")) != fingerprint_of("KeyError", raised("x"))
    assert raised("x")[-1].endswith("test_errors.py:raised")


def test_a_group_counts_and_knows_its_first_and_last(connection: Connection) -> None:
    note_errors(connection, [occurrence(message="first", at_us=10), occurrence(message="second", at_us=20)])
    note_errors(connection, [occurrence(message="third", at_us=30), occurrence("KeyError", at_us=25)])
    latest, other = list_errors(connection, limit=9)
    assert (latest.count, latest.first_us, latest.last_us, latest.message) == (3, 20, 30, "third")
    assert (other.kind, other.count) == ("KeyError", 1)


def test_what_comes_together_is_counted_together() -> None:
    (one,) = together([occurrence(at_us=1), occurrence(at_us=2), occurrence(message="latest", at_us=3)])
    assert (one.count, one.message) == (3, "latest")


def test_groups_that_were_seen_longest_ago_go(connection: Connection) -> None:
    note_errors(connection, [occurrence(f"E{number}", at_us=number) for number in range(50)])
    prune_errors(connection, keep=10)
    assert count_errors(connection) == 10
    assert [group.kind for group in list_errors(connection, limit=3)] == ["E49", "E48", "E47"]
    assert list_errors(connection, limit=9, since_us=50) == []


def test_long_messages_and_samples_are_cut(connection: Connection) -> None:
    note_errors(connection, [occurrence(message="x" * 100_000)])
    assert len(list_errors(connection, limit=1)[0].message) == 500
