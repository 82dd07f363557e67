"""What the encrypted store gives to settings, and what it says where it cannot."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from undercroft.access.secret_repository import set_secret
from undercroft.assembly.secrets import StoredSecrets
from undercroft.assembly.stored_settings import encrypted_store
from undercroft.clock import SystemClock
from undercroft.errors import Unavailable
from undercroft.settings.files import FileProblem
from undercroft.settings.model import Database, Settings
from undercroft.storage.engine import open_database


def store(settings: Settings, name: str, text: str) -> None:
    token = StoredSecrets(settings).seal(text)
    database = open_database(None, data_dir=settings.data_dir, pool_size=1, clock=SystemClock())
    try:
        database.write_sync(lambda each: set_secret(each, name, token, organisation="default", now_us=1))
    finally:
        database.close()


def test_a_secret_is_read_and_a_missing_one_says_what_to_type(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    store(settings, "redis", "redis://:hunter2@h/0")
    opened = encrypted_store(settings)
    assert opened.read("redis") == "redis://:hunter2@h/0"
    with pytest.raises(FileProblem, match="there is no secret 'sentry'; type: undercroft secrets set sentry"):
        opened.read("sentry")


def test_a_lost_key_is_said_and_no_other_is_made(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    store(settings, "redis", "redis://h/0")
    (tmp_path / "encryption.key").unlink()
    with pytest.raises(FileProblem, match="is gone"):
        encrypted_store(settings).read("redis")
    assert not (tmp_path / "encryption.key").exists()


def test_a_database_that_is_away_is_said_without_its_password(tmp_path: Path) -> None:
    url = SecretStr("postgresql://u:hunter2@127.0.0.1:1/d")
    with pytest.raises(Unavailable, match="Settings name stored secrets, and these cannot be read") as refused:
        encrypted_store(Settings(data_dir=tmp_path, database=Database(url=url)))
    assert "hunter2" not in str(refused.value)
