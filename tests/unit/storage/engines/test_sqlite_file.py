"""Files that cannot be used: one clear error each, and nothing of them is changed."""

import itertools
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from undercroft.clock import SystemClock
from undercroft.errors import ConfigurationError, Unavailable
from undercroft.storage import versions
from undercroft.storage.engine import FILE_NAME, Database, open_database
from undercroft.storage.engines.sqlite_file import explain, migration_lock
from undercroft.storage.migrate import HEAD

AS_NOBODY = """
import os
import sys
from pathlib import Path
from undercroft.clock import SystemClock
from undercroft.errors import ConfigurationError
from undercroft.storage.engine import open_database
from undercroft.storage.engines import sqlite  # while this user may still read where Python is
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    open_database(None, data_dir=Path(sys.argv[1]), pool_size=1, clock=SystemClock())
except ConfigurationError as error:
    print(error)
"""


def opened(folder: Path) -> Database:
    return open_database(None, data_dir=folder, pool_size=1, clock=SystemClock())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_files_are_for_their_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        database = opened(tmp_path / "a" / "data")
        database.write_sync(lambda connection: versions.bump(connection, "keys"))
    finally:
        os.umask(before)
    assert mode(tmp_path / "a" / "data") == 0o700
    assert {file.name: mode(file) for file in (tmp_path / "a" / "data").iterdir()} == {
        f"{FILE_NAME}{suffix}": 0o600 for suffix in ("", "-wal", "-shm", ".lock")
    }
    database.close()


def test_a_folder_of_the_operators_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    opened(tmp_path).close()
    assert mode(tmp_path) == 0o755


@pytest.mark.parametrize("content", [b"hello", b"not a database, but long enough to have been one " * 100])
def test_a_file_that_is_no_database_is_refused_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"it is not an SQLite database\. Nothing was changed"):
        opened(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == content


def test_another_programs_database_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(ConfigurationError, match="belongs to another program: it holds a table 'songs'"):
        opened(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_newer_schema_is_refused_naming_both(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as file:
        file.execute("UPDATE alembic_version SET version_num = '0999', oldest_code = 999")
    file.close()
    with pytest.raises(ConfigurationError, match=f"0999.*{HEAD}.*Install the newer"):
        opened(tmp_path)


def test_a_newer_schema_that_left_what_this_version_needs_is_used_and_left_as_it_is(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as file:
        file.execute("UPDATE alembic_version SET version_num = '0999'")
    file.close()
    database = opened(tmp_path)

    assert database.state_sync().is_ready
    assert database.migrate() == ("0999", "0999")
    with pytest.raises(ConfigurationError, match="its schema 0999 is newer"):
        database.migrate("0001")
    database.close()


def test_a_migration_elsewhere_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    class Hasty(SystemClock):
        """A minute passes between two looks."""

        def __init__(self) -> None:
            self._times = itertools.count(step=60)

        def monotonic(self) -> float:
            return next(self._times)

    with migration_lock(tmp_path / FILE_NAME, SystemClock()), pytest.raises(Unavailable, match="migrating"):
        open_database(None, data_dir=tmp_path, pool_size=1, clock=Hasty())
    opened(tmp_path).close()


def test_an_error_of_the_disk_is_unavailable_and_one_of_the_statement_is_not_hidden() -> None:
    broken = sqlite3.OperationalError("disk I/O error")
    broken.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
    assert isinstance(explain(broken, Path("a.db")), Unavailable)
    ours = sqlite3.OperationalError("no such table: x")
    ours.sqlite_errorcode = sqlite3.SQLITE_ERROR
    assert explain(ours, Path("a.db")) is None
    assert explain(ValueError("unrelated"), Path("a.db")) is None


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(ConfigurationError, match="it is a folder"):
        opened(tmp_path)


def test_a_pipe_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE_NAME)
    with pytest.raises(ConfigurationError, match="it is not a file"):
        opened(tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(ConfigurationError, match="data is not a folder"):
        opened(tmp_path / "data")
    with pytest.raises(ConfigurationError, match="Not a directory"):
        opened(tmp_path / "data" / "below")
    assert (tmp_path / "data").read_text() == "mine"


def make_large(folder: Path) -> bytes:
    database = opened(folder)
    for number in range(2000):  # so many that the schema stands in the first half
        database.write_sync(partial(versions.bump, name=f"{number:0200}"))
    database.close()
    return (folder / FILE_NAME).read_bytes()


def test_a_damaged_start_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    content = make_large(tmp_path)
    damaged = content[:100] + b"\xff" * 4000 + content[4100:]
    (tmp_path / FILE_NAME).write_bytes(damaged)
    with pytest.raises(ConfigurationError, match=r"it is damaged\. Nothing was changed\. Keep the file"):
        opened(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == damaged


def test_a_truncated_file_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    content = make_large(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigurationError, match="it is damaged"):
        opened(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == content[: len(content) // 2]


def test_damage_inside_a_table_is_told_by_the_read_that_finds_it(tmp_path: Path) -> None:
    content = make_large(tmp_path)
    half = len(content) // 2
    (tmp_path / FILE_NAME).write_bytes(content[:half] + b"\xff" * (len(content) - half))
    database = opened(tmp_path)
    with pytest.raises(ConfigurationError, match="it is damaged"):
        database.read_sync(versions.current)
    database.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, as pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="undercroft-") as place:
        Path(place).chmod(0o755)
        yield Path(place)


@pytest.mark.parametrize("exists", [False, True])
def test_a_read_only_folder_is_refused(open_folder: Path, exists: bool) -> None:
    """In a process without root's rights, whom no mode stops."""
    folder = open_folder / "data"
    folder.mkdir()
    if exists:
        opened(folder).close()
        (folder / FILE_NAME).chmod(0o644)
    folder.chmod(0o555)
    command = [sys.executable, "-c", AS_NOBODY, str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    folder.chmod(0o755)
    assert ran.stdout.startswith(f"The database file {folder / FILE_NAME} cannot be used: ")
    assert ("cannot be written to" if exists else "Permission denied") in ran.stdout
    assert (folder / FILE_NAME).exists() is exists


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("needs root and the right to mount")
    yield place
    subprocess.run(["umount", place], check=True)


def fill(place: Path) -> None:
    with place.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_disk_that_is_full_from_the_start_is_told_and_healed_by_space(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        fill(small_disk / "ballast")
    with pytest.raises(Unavailable, match=r"disk that holds the database is full\. Free some space"):
        opened(small_disk)
    (small_disk / "ballast").unlink()
    opened(small_disk).close()


def test_a_disk_that_fills_up_refuses_writes_and_keeps_what_was_acknowledged(small_disk: Path) -> None:
    database = opened(small_disk)
    acknowledged: list[None] = []

    def write_on() -> None:
        while True:
            name = f"{len(acknowledged):05}" + "x" * 2000
            acknowledged.append(database.write_sync(partial(versions.bump, name=name)))

    with pytest.raises(Unavailable, match="disk that holds the database is full"):
        write_on()
    assert acknowledged
    assert len(database.read_sync(versions.current)) == len(acknowledged)
    database.close()
    with sqlite3.connect(small_disk / FILE_NAME) as found:
        assert found.execute("SELECT count(*) FROM versions").fetchone() == (len(acknowledged),)
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    found.close()


def test_a_database_that_is_overwritten_while_open_is_told_by_its_state(tmp_path: Path) -> None:
    opened(tmp_path).close()
    database = opened(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"somebody else's" * 1000)
    # Asked inside a read, so that a second connection has to open the file.
    state = database.read_sync(lambda _: database.state_sync())
    assert state.kind == "unreachable"
    assert "it is not an SQLite database" in state.reason
    database.close()
