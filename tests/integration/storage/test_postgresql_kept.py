"""A session stays out of the pool from one write to the next, in nobody's way."""

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import IntegrityError

from undercroft.errors import Unavailable
from undercroft.storage.engines.postgresql import PostgresDatabase
from undercroft.storage.engines.postgresql_kept import KeptSessions
from undercroft.storage.plain import execute

SIZE = 2


@pytest.fixture
def kept(postgres_url: str) -> Iterator[PostgresDatabase]:
    url = make_url(postgres_url).set(drivername="postgresql+psycopg")
    database = PostgresDatabase(url, pool_size=SIZE, pool_wait_s=1)
    yield database
    database.close()


def session(connection: Connection) -> int:
    ((pid,),) = execute(connection, "SELECT pg_backend_pid()", {})
    return int(pid)


def by_sqlalchemy(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


def test_one_write_after_the_other_goes_over_one_session(kept: PostgresDatabase) -> None:
    assert len({kept.write_sync(work) for work in (session, by_sqlalchemy, session, session)}) == 1


def test_what_is_kept_is_there_for_who_asks_the_pool(kept: PostgresDatabase) -> None:
    """Two writers at once leave two sessions behind, which is all there are; and a read needs another one."""
    meeting = threading.Barrier(SIZE)

    def meet(connection: Connection) -> int:
        pid = session(connection)
        meeting.wait(20)
        return pid

    writers = [threading.Thread(target=kept.write_sync, args=(meet,)) for _ in range(SIZE)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    begun = time.monotonic()

    def read(connection: Connection) -> int:
        return kept.read_sync(session) if connection.scalar(text("SELECT 1")) else 0

    assert kept.read_sync(read)
    assert time.monotonic() - begun < 1, "it waited for what nobody uses"


def test_a_work_that_fails_leaves_nothing_behind(kept: PostgresDatabase) -> None:
    kept.write_sync(lambda connection: execute(connection, "CREATE TABLE things (id int PRIMARY KEY)", {}))

    def put(connection: Connection) -> None:
        execute(connection, "INSERT INTO things VALUES (1)", {})

    def put_by_sqlalchemy(connection: Connection) -> None:
        connection.execute(text("INSERT INTO things VALUES (1)"))

    for first in (put, put_by_sqlalchemy):
        for then in (put, put_by_sqlalchemy):

            def twice(connection: Connection, first: object = first, then: object = then) -> None:
                assert callable(first)
                assert callable(then)
                first(connection)
                then(connection)

            with pytest.raises(IntegrityError):
                kept.write_sync(twice)
            with pytest.raises(ZeroDivisionError):
                kept.write_sync(lambda connection, first=first: (first(connection), 1 // 0))  # type: ignore[misc]
            assert kept.read_sync(lambda connection: connection.scalar(text("SELECT count(*) FROM things"))) == 0


def test_a_session_that_was_cut_meanwhile_costs_nobody_an_error(kept: PostgresDatabase, postgres_url: str) -> None:
    before = kept.write_sync(session)
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (before,))
        while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (before,)).fetchone():
            time.sleep(0.01)
    assert kept.write_sync(session) != before


@pytest.mark.parametrize("ask", [session, by_sqlalchemy])
def test_one_that_is_lost_in_a_work_that_fails_takes_no_place(
    kept: PostgresDatabase, postgres_url: str, ask: Callable[[Connection], int]
) -> None:
    def fail(connection: Connection) -> None:
        with psycopg.connect(postgres_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (ask(connection),))
        raise ZeroDivisionError

    for _ in range(SIZE + 1):
        with pytest.raises((ZeroDivisionError, Unavailable)):
            kept.write_sync(fail)
    assert kept.write_sync(session)


def test_one_that_was_kept_for_long_goes_back_to_the_pool(postgres_url: str) -> None:
    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"))
    for kept_s, is_renewed in ((60.0, False), (0.0, True)):
        sessions = KeptSessions(engine, kept_s=kept_s)
        first = sessions.take()
        sessions.give_back(first)
        second = sessions.take()
        assert first.closed == (first is not second) == is_renewed
        sessions.give_back(second)
        sessions.close()
    engine.dispose()
