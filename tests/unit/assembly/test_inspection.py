"""The doctor's findings name what is wrong and what to do."""

import os
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from undercroft.access.secret_repository import set_secret
from undercroft.assembly.inspection import Finding, inspect
from undercroft.assembly.secrets import StoredSecrets
from undercroft.clock import SystemClock
from undercroft.settings.model import Settings
from undercroft.settings.sources import load
from undercroft.storage.engine import FILE_NAME, open_database


@pytest.fixture(autouse=True)
def no_installed_models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this environment are 120 MB to hash, and not everywhere."""
    elsewhere = str(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.setattr(sys, "prefix", elsewhere)
    monkeypatch.setenv("XDG_CACHE_HOME", elsewhere)
    monkeypatch.setenv("HOME", elsewhere)


def findings(directory: Path, *, clock: ManualClock | None = None, **environment: str) -> dict[str, Finding]:
    """By name; the models are looked for in an empty folder first, and the port is a free one."""
    models = directory / "models"
    models.mkdir(exist_ok=True)
    plain = {"PORT": "0", "UNDERCROFT_MODELS_DIR": str(models)}
    loaded = load(config=None, environment=plain | environment, directory=directory)
    return {finding.name: finding for finding in inspect(loaded, clock=clock or SystemClock())}


def test_a_fresh_folder_is_well_and_stays_as_it_is(tmp_path: Path) -> None:
    found = findings(tmp_path)
    assert {name: finding.status for name, finding in found.items() if name not in ("models", "packages")} == {
        "data directory": "ok",
        "database": "ok",
        "provider": "ok",
        "clock": "ok",
        "port": "ok",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_data_directory_that_is_a_file_has_failed(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    found = findings(tmp_path, UNDERCROFT_DATA_DIR="data/inner")["data directory"]
    assert found.status == "failed"
    assert found.detail == f"{tmp_path}/data cannot be written to"


def test_a_database_file_is_read_to_its_end(tmp_path: Path) -> None:
    open_database(None, data_dir=tmp_path / ".undercroft", pool_size=1, clock=SystemClock()).close()
    found = findings(tmp_path)
    assert found["database"].detail.startswith("sqlite, schema ")
    assert found["database file"].status == "ok"

    file = tmp_path / ".undercroft" / FILE_NAME
    with closing(sqlite3.connect(file)) as connection:  # the last page may be one without which nothing can be read
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'calls_started'")
    pages = bytearray(file.read_bytes())
    pages[(page - 1) * 4096 : page * 4096] = b"\x55" * 4096
    file.write_bytes(pages)
    damaged = findings(tmp_path)["database file"]
    assert damaged.status == "failed"
    assert not damaged.detail.endswith("."), "the advice follows in the same line"
    assert damaged.advice


def test_stored_secrets_that_no_key_opens_are_told_with_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / ".undercroft"
    settings = Settings(data_dir=folder)
    token = StoredSecrets(settings).seal("sk-0123456789abcdef")
    database = open_database(None, data_dir=folder, pool_size=1, clock=SystemClock())
    database.write_sync(lambda each: set_secret(each, "openai", token, organisation="default", now_us=1))
    database.close()
    key_file = folder / "encryption.key"
    found = findings(tmp_path)["stored secrets"]
    assert (found.status, found.detail) == ("ok", f"1 can be read with the key in {key_file}")

    key_file.rename(tmp_path / "kept")
    lost = findings(tmp_path)["stored secrets"]
    assert lost.status == "failed"
    assert lost.detail.startswith("1 of 1 cannot be read")
    assert "secrets/default/openai" in lost.detail
    assert lost.advice.startswith(f"bring {key_file} back from a backup")
    assert not key_file.exists()

    other = findings(tmp_path, ENCRYPTION_KEY="c3VwcGx5IHNvbWUgMzIgYnl0ZXMgb2YgZW50cm9weSE=")["stored secrets"]
    assert (other.status, "is not in ENCRYPTION_KEY" in other.detail) == ("failed", True)
    assert other.advice.startswith("put the former key behind the present one, with a comma")

    (tmp_path / "kept").rename(key_file)
    assert findings(tmp_path)["stored secrets"].status == "ok"


def test_a_secret_that_settings_name_and_nobody_has_set_is_told(tmp_path: Path) -> None:
    for _ in range(2):  # before there is a database, and with one
        found = findings(tmp_path, SENTRY_DSN="secret:sentry")["stored secrets"]
        assert (found.status, found.advice) == ("failed", "type: undercroft secrets set sentry")
        open_database(None, data_dir=tmp_path / ".undercroft", pool_size=1, clock=SystemClock()).close()


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database" * 1000)
    found = findings(tmp_path, DATABASE_URL="sqlite:///x.db")["database"]
    assert (found.status, "x.db" in found.detail) == ("failed", True)


def test_a_server_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    found = findings(tmp_path, DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/d")["database"]
    assert (found.status, found.advice) == ("failed", "check DATABASE_URL, and that the server runs")
    assert "hunter2" not in str(found)


def test_incomplete_weights_are_named(tmp_path: Path) -> None:
    found = findings(tmp_path)["models"]
    assert found.status == "failed"
    assert "minilm/tokenizer.json is missing" in found.detail
    assert found.advice == "type: undercroft models pull"


def test_providers_are_named_with_their_keys_source_and_without_the_key(tmp_path: Path) -> None:
    found = findings(tmp_path, OPENAI_API_KEY="hunter2")["provider"]
    assert found.detail == "openai has a key from environment (OPENAI_API_KEY) (not called)"


def test_a_clock_before_the_release_or_before_our_own_files_is_told(tmp_path: Path) -> None:
    assert "before this version was made" in findings(tmp_path, clock=ManualClock(1))["clock"].detail
    clock = ManualClock()
    (tmp_path / ".undercroft").mkdir()
    (tmp_path / ".undercroft" / "x").touch()
    os.utime(tmp_path / ".undercroft" / "x", (0, clock.now_us() / 1e6 + 3600))
    assert "are from later" in findings(tmp_path, clock=clock)["clock"].detail


def test_a_port_in_use_is_a_warning_with_another_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = findings(tmp_path, PORT=str(port))["port"]
    assert (found.status, found.detail) == ("warning", f"127.0.0.1:{port} is in use")
    assert found.advice.endswith(f"undercroft serve --port {port + 1}")


def test_an_address_that_is_not_this_machines_is_told(tmp_path: Path) -> None:
    found = findings(tmp_path, UNDERCROFT_SERVER__HOST="192.0.2.1", UNDERCROFT_MASTER_KEY="a-master-key-long-enough")
    assert found["port"].status == "failed"
