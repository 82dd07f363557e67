"""Where the keys of stored secrets are, and that a lost one is never replaced."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from undercroft.assembly.secrets import StoredSecrets
from undercroft.errors import Conflict, UnreadableSecret
from undercroft.settings.encryption import ENCRYPTION_KEY_LINE
from undercroft.settings.model import Database, Settings

KEY = SecretStr("c3VwcGx5IHNvbWUgMzIgYnl0ZXMgb2YgZW50cm9weSE=")
OTHER = SecretStr("YW5vdGhlciBrZXkgb2YgMzIgYnl0ZXMgb2Ygbm9pc2U=")


def test_embedded_a_key_file_is_made_for_the_first_secret_and_not_before(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    file = tmp_path / "encryption.key"
    with pytest.raises(UnreadableSecret, match=f"{file} is gone"):
        StoredSecrets(settings).open("x")
    assert not file.exists()

    token = StoredSecrets(settings).seal("whsec_x")
    assert StoredSecrets(settings).open(token) == "whsec_x"
    assert "whsec_x" not in token

    file.unlink()
    with pytest.raises(UnreadableSecret, match="is gone"):
        StoredSecrets(settings).open(token)
    assert not file.exists(), "another key would only hide that the first one is lost"


def test_the_key_file_stands_beside_a_database_that_is_elsewhere(tmp_path: Path) -> None:
    url = SecretStr(f"sqlite:///{tmp_path}/elsewhere/x.db")
    StoredSecrets(Settings(data_dir=tmp_path / "data", database=Database(url=url))).seal("x")
    assert (tmp_path / "elsewhere" / "encryption.key").exists()


def test_a_configured_key_makes_no_file(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, encryption_key=KEY)
    assert StoredSecrets(settings).open(StoredSecrets(settings).seal("x")) == "x"
    assert list(tmp_path.iterdir()) == []


def test_with_postgresql_no_key_is_made_up(tmp_path: Path) -> None:
    database = Database(url=SecretStr("postgresql://h/d"))
    token = StoredSecrets(Settings(data_dir=tmp_path, database=database, encryption_key=KEY)).seal("x")
    without = StoredSecrets(Settings(data_dir=tmp_path, database=database))
    with pytest.raises(Conflict) as refused:
        without.seal("x")
    assert (refused.value.code, ENCRYPTION_KEY_LINE in str(refused.value)) == ("encryption_key_missing", True)
    with pytest.raises(UnreadableSecret, match="ENCRYPTION_KEY is not set"):
        without.open(token)
    with pytest.raises(UnreadableSecret, match="another key"):
        StoredSecrets(Settings(data_dir=tmp_path, database=database, encryption_key=OTHER)).open(token)
    assert list(tmp_path.iterdir()) == []


def test_what_was_read_before_a_rotation_is_opened_after_it_by_whoever_runs(tmp_path: Path) -> None:
    running, rotating = StoredSecrets(Settings(data_dir=tmp_path)), StoredSecrets(Settings(data_dir=tmp_path))
    token = running.seal("sk-1")
    rotating.add_key()
    fresh = rotating.seal("sk-1")
    assert rotating.forget_former_keys() == 1
    assert [running.open(token), running.open(fresh)] == ["sk-1", "sk-1"]
    assert (running.is_current(token), running.is_current(fresh)) == (False, True)
    with pytest.raises(UnreadableSecret):
        StoredSecrets(Settings(data_dir=tmp_path)).open(token)
