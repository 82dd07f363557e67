"""One file, several processes, some of them killed."""

import sqlite3
from contextlib import ExitStack
from pathlib import Path

from tests.support.processes import output, python
from undercroft.clock import SystemClock
from undercroft.storage import versions
from undercroft.storage.engine import FILE_NAME, open_database
from undercroft.storage.migrate import HEAD

WRITER = """
import sys, threading
from pathlib import Path
from undercroft.clock import SystemClock
from undercroft.storage import versions
from undercroft.storage.engine import open_database
folder, name, threads, count = sys.argv[1:]
database = open_database(None, data_dir=Path(folder), pool_size=1, clock=SystemClock())
def write(thread):
    for number in range(int(count)):
        row = f"{name}.{thread}.{number}"
        database.write_sync(lambda connection: versions.bump(connection, row))
        sys.stdout.write(row + "\\n")
        sys.stdout.flush()
workers = [threading.Thread(target=write, args=(thread,)) for thread in range(int(threads))]
for worker in workers: worker.start()
for worker in workers: worker.join()
database.close()
"""

OPENER = """
import sys
from pathlib import Path
from undercroft.clock import SystemClock
from undercroft.storage import versions
from undercroft.storage.engine import open_database
sys.stdin.readline()
database = open_database(None, data_dir=Path(sys.argv[1]), pool_size=1, clock=SystemClock())
database.write_sync(lambda connection: versions.bump(connection, "opened"))
print(database.state_sync().kind, "alembic" in sys.modules)
database.close()
"""


def stored(folder: Path) -> dict[str, int]:
    database = open_database(None, data_dir=folder, pool_size=1, clock=SystemClock())
    try:
        return database.read_sync(versions.current)
    finally:
        database.close()


def test_every_acknowledged_write_survives_kill_9(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for life in range(3):
        with python(WRITER, tmp_path, f"life{life}", 8, 100_000) as process:
            lines = output(process)
            before = len(acknowledged)
            while len(acknowledged) < before + 300:
                acknowledged.add(lines.readline().strip())
            process.kill()
            # What was still in the pipe was acknowledged too; a line cut short was not.
            acknowledged |= {line.strip() for line in lines if line.endswith("\n")}
    rows = stored(tmp_path)
    assert acknowledged <= set(rows)
    assert set(rows.values()) == {1}
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_several_processes_write_to_one_file_and_none_loses_anything(tmp_path: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(python(WRITER, tmp_path, name, 2, 100)) for name in "abc"]
        for process in processes:
            assert len(output(process).readlines()) == 200
            assert process.wait(60) == 0
    assert len(stored(tmp_path)) == 600


def test_processes_that_start_at_once_migrate_once_and_later_ones_do_not_need_alembic(tmp_path: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(python(OPENER, tmp_path)) for _ in range(4)]
        for process in processes:
            assert output(process).readline().split()[0] == "ready"
            assert process.wait(60) == 0
    with python(OPENER, tmp_path) as later:
        assert output(later).read() == "ready False\n"
    assert stored(tmp_path) == {"opened": 5}
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
    connection.close()
