"""What the writer thread promises beyond the conformance tests: batches, full disks, locks, its own limits."""

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from undercroft.clock import SystemClock
from undercroft.errors import Unavailable
from undercroft.storage import versions
from undercroft.storage.engines.group_commit import BATCH, WAITING, GroupCommit
from undercroft.storage.engines.sqlite import SqliteDatabase
from undercroft.storage.transaction import Work

T = TypeVar("T")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteDatabase]:
    path = tmp_path_factory.mktemp("group") / "test.db"
    opened = SqliteDatabase(path, clock=SystemClock(), is_durable=False, migrates=True)
    yield opened
    opened.close()


class Refused(Exception):
    """A work that changes its mind after writing."""


def bump(name: str, *, fails: bool = False) -> Work[str]:
    def work(connection: Connection) -> str:
        versions.bump(connection, name)
        if fails:
            raise Refused(name)
        return name

    return work


def held_back(writer: GroupCommit, works: list[Work[T]]) -> list[Future[T]]:
    """Hands all of them in while the writer is busy, so that they make up batches."""
    let_go = threading.Event()
    holding = writer.submit(lambda _: let_go.wait(10))
    futures = [writer.submit(work) for work in works]
    let_go.set()
    wait(futures, timeout=30)
    assert holding.result()
    return futures


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_whatever_fails_in_a_batch_the_others_count_exactly_once(
    database: SqliteDatabase, works: list[tuple[str, bool]]
) -> None:
    database.write_sync(lambda connection: connection.execute(text("DELETE FROM versions")))
    futures = held_back(database._writer, [bump(name, fails=fails) for name, fails in works])
    expected: dict[str, int] = {}
    for future, (name, fails) in zip(futures, works, strict=True):
        if fails:
            assert isinstance(future.exception(), Refused)
        else:
            assert future.result() == name
            expected[name] = expected.get(name, 0) + 1
    assert database.read_sync(versions.current) == expected


def test_more_works_than_a_batch_holds_are_all_done_in_order(database: SqliteDatabase) -> None:
    order: list[int] = []

    def noted(number: int) -> Work[None]:
        return lambda _: order.append(number)

    held_back(database._writer, [noted(number) for number in range(2 * BATCH + 1)])
    assert order == list(range(2 * BATCH + 1))


def test_a_work_that_asks_for_another_write_is_told_instead_of_waiting_for_itself(database: SqliteDatabase) -> None:
    with pytest.raises(RuntimeError, match="wait for itself"):
        database.write_sync(lambda _: database.write_sync(bump("inner")))


def test_when_too_many_wait_the_next_is_refused_at_once_and_none_that_was_accepted_is_lost(
    database: SqliteDatabase,
) -> None:
    writer, let_go, done = database._writer, threading.Event(), itertools.count()
    begun = threading.Event()

    def hold(_: Connection) -> bool:
        begun.set()
        return let_go.wait(10)

    writer.submit(hold)
    assert begun.wait(10)
    futures = [writer.submit(lambda _: next(done)) for _ in range(WAITING)]
    with pytest.raises(Unavailable, match="busy"):
        writer.submit(bump("one too many"))
    let_go.set()
    assert [future.result(30) for future in futures] == list(range(WAITING))


def test_a_lock_held_elsewhere_ends_in_unavailable_and_the_next_write_is_well(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "test.db", clock=SystemClock(), is_durable=False, migrates=True)
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    try:
        impatient(database)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="Another process is writing") as caught:
            database.write_sync(bump("a"))
        assert caught.value.retry_after_s
        other.execute("ROLLBACK")
        assert database.write_sync(bump("a")) == "a"
    finally:
        other.close()
        database.close()


def impatient(database: SqliteDatabase) -> None:
    database.write_sync(lambda connection: connection.execute(text("PRAGMA busy_timeout=50")).close())


def test_a_full_disk_is_unavailable_for_all_it_concerns_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "test.db", clock=SystemClock(), is_durable=False, migrates=True)
    try:
        database.write_sync(bump("kept"))

        def pages(number: int) -> Work[None]:
            return lambda connection: connection.execute(text(f"PRAGMA max_page_count={number}")).close()

        database.write_sync(pages(1))  # SQLite takes the number of pages there are
        large = "x" * 100_000
        with pytest.raises(Unavailable, match="disk that holds the database is full") as caught:
            database.write_sync(bump(large))
        assert caught.value.code == "disk_full"
        assert database.read_sync(versions.current) == {"kept": 1}
        database.write_sync(pages(1_000_000))
        assert database.write_sync(bump(large)) == large
    finally:
        database.close()


def test_what_others_write_changes_a_number_and_what_is_written_here_does_not(tmp_path: Path) -> None:
    ours, theirs = (
        SqliteDatabase(tmp_path / "test.db", clock=SystemClock(), is_durable=False, migrates=True) for _ in range(2)
    )

    async def told() -> int:
        return await ours.others_writes()

    try:
        before = asyncio.run(told())
        ours.write_sync(bump("ours"))
        assert asyncio.run(told()) == before
        theirs.write_sync(bump("theirs"))
        after = asyncio.run(told())
        assert after != before
        assert asyncio.run(told()) == after
    finally:
        ours.close()
        theirs.close()


def test_the_number_is_told_behind_all_that_was_handed_in_before(database: SqliteDatabase) -> None:
    writer, let_go, done = database._writer, threading.Event(), []
    writer.submit(lambda _: let_go.wait(10))
    writing = writer.submit(lambda connection: versions.bump(connection, "late"))
    writing.add_done_callback(lambda _: done.append("write"))
    told = writer.others()
    told.add_done_callback(lambda _: done.append("told"))
    assert not told.done()
    let_go.set()
    assert told.result(10) > 0
    assert done == ["write", "told"]
