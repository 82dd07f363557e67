"""The log only grows, and whatever else is done to it shows."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, text

from tests.support.clock import ManualClock
from undercroft.access.audit import Act, Origin, append, as_line, audited, entries_of, every_entry, verify
from undercroft.storage.engine import Database, open_database

ORIGIN = Origin(organisation="default", actor="master key", address="203.0.113.7", request="req_1")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(None, data_dir=tmp_path, pool_size=1, clock=ManualClock())
    yield opened
    opened.close()


def write(database: Database, count: int) -> None:
    def work(connection: Connection) -> None:
        for number in range(count):
            act = Act(action="key.create", subject=f"k{number}", before={"a": number}, after={"a": number + 1})
            append(connection, act, origin=ORIGIN, now_us=number)

    database.write_sync(work)


def without_triggers(connection: Connection) -> None:
    for verb in ("update", "delete"):
        connection.execute(text(f"DROP TRIGGER audit_no_{verb}"))


def test_an_untouched_log_is_whole(database: Database) -> None:
    assert database.read_sync(verify).fault == ""
    write(database, 5)
    verdict = database.read_sync(verify)
    assert (verdict.entries, verdict.fault) == (5, "")
    write(database, 3)
    assert database.read_sync(lambda each: verify(each, expected_head=verdict.head)).fault == ""
    assert "not in the log" in database.read_sync(lambda each: verify(each, expected_head="0" * 64)).fault


COLUMNS = "organisation, at_us, actor, address, action, subject, request, details"
TAMPERING: dict[str, str] = {
    "an actor": "UPDATE audit SET actor = 'nobody' WHERE number = 3",
    "a time": "UPDATE audit SET at_us = 99 WHERE number = 1",
    "details": "UPDATE audit SET details = '{}' WHERE number = 5",
    "an organisation": "UPDATE audit SET organisation = 'x' WHERE number = 2",
    "a hash": "UPDATE audit SET hash = x'00' WHERE number = 4",
    "an entry removed": "DELETE FROM audit WHERE number = 3",
    "the first removed": "DELETE FROM audit WHERE number = 1",
    "the last removed": "DELETE FROM audit WHERE number = 5",
    "all removed": "DELETE FROM audit",
    "two changing places": "UPDATE audit SET number = CASE number WHEN 2 THEN -1 ELSE 2 END WHERE number IN (2, 3)",
    "one put in": f"INSERT INTO audit SELECT 6, {COLUMNS}, hash FROM audit WHERE number = 5",
}  # fmt: skip


@pytest.mark.parametrize("statement", TAMPERING.values(), ids=TAMPERING)
def test_tampering_is_found(database: Database, statement: str) -> None:
    write(database, 5)

    def tamper(connection: Connection) -> None:
        without_triggers(connection)
        connection.execute(text(statement))

    database.write_sync(tamper)
    assert database.read_sync(verify).fault


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit WHERE number = 1"])
def test_the_database_refuses_to_change_an_entry(database: Database, statement: str) -> None:
    write(database, 2)
    with pytest.raises(Exception, match="only grows"):
        database.write_sync(lambda connection: connection.execute(text(statement)))


def test_a_change_that_fails_leaves_no_entry_and_no_gap(database: Database) -> None:
    def fails(connection: Connection) -> None:
        raise ValueError("no")

    work: Callable[[Connection], None] = audited(fails, lambda _: Act(action="key.create"), origin=ORIGIN, now_us=0)
    with pytest.raises(ValueError, match="no"):
        database.write_sync(work)
    write(database, 1)
    assert database.read_sync(verify).entries == 1


def test_secrets_are_in_no_entry_whatever_they_are_called(database: Database) -> None:
    after = {"password": "hunter2hunter2", "note": "Bearer abcdef0123456789abcdef", "key": "sk-proj-abcdef0123456789"}
    database.write_sync(lambda each: append(each, Act(action="key.create", after=after), origin=ORIGIN, now_us=0))
    (entry,) = database.read_sync(lambda each: list(every_entry(each)))
    for secret in ("hunter2", "abcdef0123456789"):
        assert secret not in entry.details


def test_an_organisation_sees_its_own_entries_page_by_page(database: Database) -> None:
    write(database, 5)
    foreign = msgspec.structs.replace(ORIGIN, organisation="other")
    database.write_sync(lambda each: append(each, Act(action="key.revoke"), origin=foreign, now_us=9))

    def page(connection: Connection) -> list[int]:
        return [each.number for each in entries_of(connection, organisation="default", before=4, limit=2)]

    assert database.read_sync(page) == [3, 2]
    assert database.read_sync(lambda each: entries_of(each, organisation="default", action="key.revoke")) == []


def test_an_exported_line_holds_what_its_hash_is_made_of(database: Database) -> None:
    write(database, 1)
    (entry,) = database.read_sync(lambda each: list(every_entry(each)))
    line = msgspec.json.decode(as_line(entry))
    assert set(line) == {*entry.__struct_fields__}
    assert line["hash"] == entry.hash.hex()
