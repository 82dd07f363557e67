"""Stored secrets: opened on use, said when they cannot be, encrypted anew without a gap."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.support.clock import ManualClock
from undercroft.access import secret_repository as repository
from undercroft.access.secrets import SecretBox
from undercroft.access.vault import Vault, checked
from undercroft.errors import InvalidRequest, NotFound, Unavailable, UnreadableSecret
from undercroft.storage.engine import Database, open_database

OLD, NEW, LOST = (Fernet.generate_key().decode() for _ in range(3))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(None, data_dir=tmp_path, pool_size=1, clock=ManualClock())
    yield opened
    opened.close()


def put(database: Database, name: str, token: str) -> bool:
    work = partial(repository.set_secret, name=name, token=token, organisation="default", now_us=0)
    return database.write_sync(work)


def rotated(database: Database, box: SecretBox) -> repository.Rotation:
    place: repository.Place | None = repository.Place()
    reports = []
    while place is not None:
        report, place = database.write_sync(partial(repository.rotate_some, box=box, place=place))
        reports.append(report)
    return repository.summed(reports)


def test_a_secret_is_opened_on_use_and_a_missing_one_says_what_to_type() -> None:
    box = SecretBox([NEW])
    vault = Vault(box.open)
    with pytest.raises(Unavailable, match="database is away"):
        vault.text("openai")
    vault.replace({"openai": box.seal("sk-1"), "lost": SecretBox([LOST]).seal("sk-2")})
    assert vault.text("openai") == "sk-1"
    assert vault.unreadable == ("lost",)
    with pytest.raises(UnreadableSecret):
        vault.text("lost")
    with pytest.raises(Unavailable, match="undercroft secrets set other"):
        vault.text("other")


def test_a_rotation_goes_on_where_it_was_broken_off_and_destroys_nothing(database: Database) -> None:
    old, both = SecretBox([OLD]), SecretBox([NEW, OLD])
    count = 2 * repository.AT_ONCE + 7
    for number in range(count):
        put(database, f"s{number:04}", old.seal(f"secret {number}"))
    lost = SecretBox([LOST]).seal("x")
    put(database, "lost", lost)
    first, _ = database.write_sync(partial(repository.rotate_some, box=both, place=repository.Place()))
    assert first.rotated + len(first.unreadable) == repository.AT_ONCE

    report = rotated(database, both)
    assert (report.rotated, report.current) == (count - first.rotated, first.rotated)
    assert report.unreadable == ("secrets/default/lost",)
    tokens = database.read_sync(partial(repository.tokens_in, organisation="default"))
    assert tokens.pop("lost") == lost
    new = SecretBox([NEW])
    assert {name: new.open(token) for name, token in tokens.items()} == {
        f"s{number:04}": f"secret {number}" for number in range(count)
    }
    assert rotated(database, both).rotated == 0


def test_a_secret_is_replaced_listed_and_deleted(database: Database) -> None:
    assert put(database, "a", "t1") is True
    assert put(database, "a", "t2") is False
    assert [row.name for row in database.read_sync(partial(repository.list_secrets, organisation="default"))] == ["a"]
    remove = partial(repository.remove_secret, name="a", organisation="default")
    database.write_sync(remove)
    with pytest.raises(NotFound):
        database.write_sync(remove)


NOT_SENDABLE = [
    ("a b", "x"),
    ("", "x"),
    ("a", ""),
    ("a", "x\r\nHost: evil"),
    ("a", "x y"),
    ("a", "é"),
    ("a", "x" * 9000),
]


@pytest.mark.parametrize(("name", "text"), NOT_SENDABLE)
def test_what_could_not_be_sent_is_not_stored(name: str, text: str) -> None:
    with pytest.raises(InvalidRequest):
        checked(name, text)
