import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from undercroft.clock import SystemClock
from undercroft.errors import ConfigurationError, Unavailable
from undercroft.storage.table_file import TableFile

SCHEMA = "CREATE TABLE things (name TEXT PRIMARY KEY)"


def opened(folder: Path, *, version: int = 1) -> TableFile:
    return TableFile(folder / "things.db", schema=SCHEMA, version=version, clock=SystemClock())


@pytest.fixture
def file(tmp_path: Path) -> Iterator[TableFile]:
    file = opened(tmp_path)
    yield file
    file.close()


def names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM things ORDER BY name")]


def test_what_was_written_is_there_for_another_process(file: TableFile, tmp_path: Path) -> None:
    asyncio.run(file.write(lambda db: db.execute("INSERT INTO things VALUES ('a')")))
    other = opened(tmp_path)
    assert other.read(names) == file.read(names) == ["a"]
    other.close()


def test_the_version_tells_of_every_commit_and_of_nothing_else(file: TableFile, tmp_path: Path) -> None:
    other = opened(tmp_path)
    before = file.version()
    assert file.version() == before
    asyncio.run(other.write(lambda db: db.execute("INSERT INTO things VALUES ('a')")))
    between = file.version()
    assert between != before
    asyncio.run(file.write(lambda db: db.execute("INSERT INTO things VALUES ('b')")))
    assert file.version() != between
    other.close()


def test_a_write_that_raises_leaves_nothing(file: TableFile) -> None:
    def half(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO things VALUES ('a')")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(file.write(half))
    assert file.read(names) == []


def test_a_reader_cannot_write_and_goes_on_reading(file: TableFile) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        file.read(lambda db: db.execute("INSERT INTO things VALUES ('a')"))
    assert file.read(names) == []


def test_a_file_of_a_newer_version_or_of_another_program_is_left_alone(tmp_path: Path) -> None:
    opened(tmp_path, version=2).close()
    with pytest.raises(ConfigurationError, match="newer"):
        opened(tmp_path, version=1)
    (tmp_path / "things.db").write_bytes(b"no database at all, but long enough to be looked at" * 50)
    with pytest.raises(ConfigurationError, match="not an SQLite database"):
        opened(tmp_path)


def test_a_closed_file_takes_no_more_writes(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.close()
    with pytest.raises(Unavailable):
        asyncio.run(file.write(names))
