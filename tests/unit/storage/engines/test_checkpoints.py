"""The log is emptied beside whoever writes."""

import sqlite3
import threading
from functools import partial
from pathlib import Path

from undercroft.clock import SystemClock
from undercroft.storage import versions
from undercroft.storage.engines.checkpoints import COMMITS, Checkpoints
from undercroft.storage.engines.sqlite import SqliteDatabase
from undercroft.storage.engines.sqlite_file import connect


def test_the_log_is_brought_over_while_the_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    database = SqliteDatabase(path, clock=SystemClock(), is_durable=False, migrates=True)
    before = path.read_bytes()
    for _ in range(COMMITS):
        database.write_sync(partial(versions.bump, name="n"))
    database._checkpoints._thread.submit(lambda: None).result(30)  # behind the one that was asked for
    assert path.read_bytes() != before, "what was committed is in the file"
    database.close()


def test_one_at_a_time_and_not_for_every_commit() -> None:
    let_go, opened = threading.Event(), []

    def open_slowly() -> sqlite3.Connection:
        opened.append(True)
        let_go.wait(30)
        return sqlite3.connect(":memory:", check_same_thread=False)

    checkpoints = Checkpoints(open_slowly)
    for _ in range(COMMITS - 1):
        checkpoints.committed()
    assert not opened
    for _ in range(3 * COMMITS):
        checkpoints.committed()
    let_go.set()
    checkpoints.close()
    assert opened == [True]


def test_a_file_that_cannot_be_opened_costs_nobody_a_commit(tmp_path: Path) -> None:
    checkpoints = Checkpoints(partial(connect, tmp_path / "no" / "such.db", ()))
    for _ in range(2 * COMMITS):
        checkpoints.committed()
    checkpoints.close()
    assert checkpoints._latest is not None
    assert checkpoints._latest.exception() is None
