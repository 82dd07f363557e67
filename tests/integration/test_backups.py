"""The drill: backed up from one database, restored to the other, and nothing is different."""

import asyncio
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.support import backups
from tests.support.backups import CONTENT, SECRET, fill, opened, settings_of
from tests.support.clock import ManualClock
from tests.support.postgres import PostgresServer
from tests.support.server import SCRIPTED, run, serving
from undercroft.access.secrets import SecretBox, fresh_key
from undercroft.assembly.backups import source_of, target_of
from undercroft.assembly.secrets import StoredSecrets
from undercroft.backups.backup import back_up
from undercroft.backups.restore import Restored, restore
from undercroft.errors import Conflict, InvalidRequest
from undercroft.settings.model import Settings
from undercroft.storage.engine import Database

PASSPHRASE = "correct horse battery"
KEY = fresh_key()


class Place:
    """An installation, open."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database: Database = opened(settings)

    def close(self) -> None:
        self.database.close()


class Drill:
    """Makes places, and closes them."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self._folder = folder
        self._server = server
        self._places: list[Place] = []
        self.file = folder / "drill.backup"

    def place(self, kind: str, *, key: str | None = None) -> Place:
        folder = self._folder / f"place-{len(self._places)}"
        folder.mkdir()
        url = self._server.new_database() if kind == "postgresql" else None
        encryption_key = key or (KEY if kind == "postgresql" else None)
        secret = None if encryption_key is None else SecretStr(encryption_key)
        place = Place(settings_of(folder, url, encryption_key=secret))
        self._places.append(place)
        return place

    def back_up(self, place: Place) -> None:
        source = source_of(place.settings, place.database, with_keys=True)
        work = back_up(source, self.file, passphrase=PASSPHRASE, clock=ManualClock(), advance=lambda _: None)
        asyncio.run(work)

    def restore(self, place: Place, *, passphrase: str = PASSPHRASE, may_lose_keys: bool = False) -> Restored:
        target = target_of(place.settings, place.database, key_file=None)
        work = restore(target, self.file, passphrase=passphrase, may_lose_keys=may_lose_keys, advance=lambda _: None)
        return asyncio.run(work)

    def close(self) -> None:
        for place in self._places:
            place.close()
            if place.settings.database.url is not None:
                self._server.drop(place.settings.database.url.get_secret_value())


@pytest.fixture
def drill(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Drill]:
    made = Drill(tmp_path, postgres_server)
    try:
        yield made
    finally:
        made.close()


KINDS = ("sqlite", "postgresql")


@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_what_is_restored_is_what_was_there(drill: Drill, source: str, to: str) -> None:
    before = drill.place(source)
    asyncio.run(fill(before.settings, before.database))
    drill.back_up(before)
    same_key = StoredSecrets(before.settings).keys()[0] if to == "postgresql" else None
    after = drill.place(to, key=same_key)

    done = drill.restore(after)

    assert backups.sums(after.database) == backups.sums(before.database)
    assert done.rows == sum(table.rows for table in backups.sums(before.database).values()) > 200
    assert asyncio.run(backups.contents(after.settings, after.database)) == {"large.bin": CONTENT, "empty.txt": b""}
    assert backups.audit_fault(after.database) == ""
    sealed = backups.tokens(after.database)
    assert sealed == backups.tokens(before.database)
    assert SECRET not in "".join(sealed.values())
    assert SecretBox(StoredSecrets(after.settings).keys()).open(sealed["secrets/default/openai"]) == SECRET


def test_there_and_back_is_the_same_again(drill: Drill) -> None:
    first = drill.place("sqlite")
    asyncio.run(fill(first.settings, first.database))
    drill.back_up(first)
    second = drill.place("postgresql", key=StoredSecrets(first.settings).keys()[0])
    drill.restore(second)
    drill.file.unlink()
    drill.back_up(second)
    third = drill.place("sqlite")
    drill.restore(third)

    assert backups.sums(third.database) == backups.sums(first.database)


def test_a_restored_postgresql_counts_events_on_from_the_last(drill: Drill) -> None:
    before = drill.place("sqlite")
    asyncio.run(fill(before.settings, before.database))
    drill.back_up(before)
    after = drill.place("postgresql", key=StoredSecrets(before.settings).keys()[0])
    drill.restore(after)

    following = after.database.write_sync(
        lambda connection: connection.exec_driver_sql("SELECT nextval('events_numbers')").scalar_one()
    )

    assert following == (backups.ROWS - 1) * 2**40 + 1


def nothing_is_there(place: Place) -> bool:
    return all(
        table.rows <= (1 if name in ("organisations", "teams", "users") else 0)
        for name, table in backups.sums(place.database).items()
    )


def test_a_place_that_is_not_empty_is_left_as_it_is(drill: Drill) -> None:
    before, after = drill.place("sqlite"), drill.place("sqlite")
    asyncio.run(fill(before.settings, before.database))
    drill.back_up(before)
    asyncio.run(fill(after.settings, after.database))
    untouched = backups.sums(after.database)

    with pytest.raises(Conflict, match="is not empty: "):
        drill.restore(after)

    assert backups.sums(after.database) == untouched


@pytest.mark.parametrize(("passphrase", "reason"), [("another passphrase", "not the one"), ("", "need its passphrase")])
def test_without_its_passphrase_nothing_is_restored(drill: Drill, passphrase: str, reason: str) -> None:
    before, after = drill.place("sqlite"), drill.place("sqlite")
    asyncio.run(fill(before.settings, before.database))
    drill.back_up(before)

    with pytest.raises(InvalidRequest, match=reason):
        drill.restore(after, passphrase=passphrase)

    assert nothing_is_there(after)


def test_under_another_key_nothing_is_restored_unless_the_key_is_lost(drill: Drill) -> None:
    before, after = drill.place("sqlite"), drill.place("postgresql", key=fresh_key())
    asyncio.run(fill(before.settings, before.database))
    drill.back_up(before)

    with pytest.raises(InvalidRequest, match=r"\d+ stored secrets of the backup cannot be read with the keys here"):
        drill.restore(after)
    assert nothing_is_there(after)
    assert asyncio.run(backups.contents(after.settings, after.database)) == {}

    done = drill.restore(after, may_lose_keys=True)
    assert (done.secrets, backups.sums(after.database)) == (0, backups.sums(before.database))


def test_a_backup_of_another_schema_is_refused(drill: Drill, tmp_path: Path) -> None:
    before, after = drill.place("sqlite"), drill.place("sqlite")
    asyncio.run(fill(before.settings, before.database))
    drill.back_up(before)
    other = tmp_path / "other.backup"
    with zipfile.ZipFile(drill.file) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            text = source.read(name)
            if name == "manifest.json":
                manifest = json.loads(text)
                manifest["schema"] = "0001"
                text = json.dumps(manifest).encode()
            target.writestr(name, text)
    drill.file = other

    with pytest.raises(InvalidRequest, match="made at schema 0001"):
        drill.restore(after)


def test_as_typed_beside_a_running_server(tmp_path: Path) -> None:
    secret = {"BACKUP_PASSPHRASE": PASSPHRASE}
    home, away = tmp_path / "home", tmp_path / "away"
    with serving(home) as server:
        assert server.chat().status == 200
        (home / "key.txt").write_text(SECRET)
        created = run(home, "keys", "create", "--name", "backup", "--json")
        assert created.exit_code == 0, created.stderr
        key = json.loads(created.stdout)["key"]
        done = run(home, "backup", "monday.backup", "--json", "--without-keys")
        assert done.exit_code == 0, done.stderr
        again = run(home, "backup", "monday.backup")
        assert (again.exit_code, "is there already" in again.stderr) == (2, True)
    away.mkdir()

    restored = run(away, "restore", str(home / "monday.backup"), "--json", extra=secret, toml=SCRIPTED)

    assert restored.exit_code == 0, restored.stderr
    assert json.loads(restored.stdout)["rows"] == json.loads(done.stdout)["rows"]
    twice = run(away, "restore", str(home / "monday.backup"), extra=secret)
    assert twice.exit_code == 1
    assert "not empty" in twice.stderr
    with serving(away) as server:
        assert server.chat(key=key).status == 200
        assert server.chat(key="uc_unknown").status == 401


def test_there_must_be_something_to_back_up(tmp_path: Path) -> None:
    done = run(tmp_path, "backup", "monday.backup", toml=SCRIPTED)

    assert done.exit_code == 2
    assert "There is no database" in done.complaint
    assert not (tmp_path / "monday.backup").exists()
