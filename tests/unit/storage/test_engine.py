"""Which address means which database, and what is refused before anything is opened."""

from pathlib import Path

import pytest

from tests.support.processes import output, python
from undercroft.clock import SystemClock
from undercroft.errors import ConfigurationError
from undercroft.storage.engine import Database, dialect_of, open_database


def opened(url: str | None, folder: Path) -> Database:
    return open_database(url, data_dir=folder, pool_size=1, clock=SystemClock())


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg"])
def test_every_usual_scheme_means_postgresql_and_opening_connects_to_nothing(scheme: str, tmp_path: Path) -> None:
    url = f"{scheme}://user:secret@127.0.0.1:1/name?sslmode=disable"
    assert dialect_of(url) == "postgresql"
    database = opened(url, tmp_path)
    assert database.dialect == "postgresql"
    database.close()


def test_no_address_means_sqlite_in_the_data_directory(tmp_path: Path) -> None:
    assert dialect_of(None) == "sqlite"
    database = opened(None, tmp_path / "data")
    database.close()
    assert (tmp_path / "data" / "undercroft.db").is_file()


def test_an_sqlite_address_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "ä b %20.db"
    database = opened(f"sqlite:///{path}", tmp_path / "unused")
    database.close()
    assert path.is_file()
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://root:secret@host/name", "sqlite://", "sqlite:///:memory:", "sqlite://a.db"]
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://user:password@host:5432/name") as caught:
        opened(url, tmp_path)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_psycopg_the_extra_is_named(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
sys.modules["psycopg"] = None
from undercroft.clock import SystemClock
from undercroft.errors import MissingExtra
from undercroft.storage.engine import open_database
try:
    open_database("postgresql://127.0.0.1:1/name", data_dir=Path("unused"), pool_size=1, clock=SystemClock())
except MissingExtra as error:
    print(error)
"""
    with python(program) as process:
        assert "pip install 'undercroft[postgres]'" in output(process).read()


def test_an_option_that_postgresql_does_not_know_is_refused_before_connecting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match='invalid connection option "schema"'):
        opened("postgresql://user:secret@127.0.0.1:1/name?schema=public", tmp_path)
