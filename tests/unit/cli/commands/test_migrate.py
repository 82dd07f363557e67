"""`undercroft migrate` on both databases, as typed."""

import json
import sqlite3
from pathlib import Path

import pytest

from undercroft.cli.main import main
from undercroft.storage.migrate import HEAD, revisions


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "UNDERCROFT_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["migrate", *arguments]) == 0
    return capsys.readouterr().out


def test_postgresql_goes_up_stays_and_goes_down(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    assert said(capsys) == f"The postgresql database was at base and is now at {HEAD}.\n"
    assert said(capsys) == f"The postgresql database is at {HEAD} already.\n"
    assert json.loads(said(capsys, "--to", "base", "--json")) == {"from": HEAD, "to": None}


def test_sqlite_goes_up_stays_and_goes_down(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys) == f"The sqlite database was at base and is now at {HEAD}.\n"
    assert said(capsys) == f"The sqlite database is at {HEAD} already.\n"
    assert json.loads(said(capsys, "--to", "base", "--json")) == {"from": HEAD, "to": None}


def test_the_printed_statements_make_the_schema_and_need_no_database(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    statements = said(capsys, "--sql")
    assert list(tmp_path.iterdir()) == []
    with sqlite3.connect(":memory:") as database:
        database.executescript(statements)
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
        assert database.execute("SELECT id FROM users").fetchone() == ("default",)
    database.close()


def test_the_statements_are_of_the_configured_database(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://user:secret@127.0.0.1:1/away")
    assert "JSONB" in said(capsys, "--sql")


def test_a_database_that_is_away_is_a_failure_and_an_unknown_revision_bad_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", "--to", "0999"]) == 2
    assert (
        f"There is no revision '0999' of the schema. There are: {', '.join(revisions())}, head, base."
        in capsys.readouterr().err
    )
    monkeypatch.setenv("DATABASE_URL", "postgres://user:secret@127.0.0.1:1/away")
    assert main(["migrate"]) == 1
    error = capsys.readouterr().err
    assert "Connection refused" in error
    assert "undercroft: The database cannot be reached." in error
    assert "secret" not in error
