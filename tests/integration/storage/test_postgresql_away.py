"""A server that stops, comes back, cuts connections, hangs, or has none to spare."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, make_url, text

from tests.support.postgres import PostgresServer, running_postgres
from tests.support.processes import output, python
from undercroft.clock import SystemClock
from undercroft.errors import Unavailable
from undercroft.storage import versions
from undercroft.storage.engine import Database, open_database
from undercroft.storage.engines.postgresql import PostgresDatabase
from undercroft.storage.migrate import HEAD
from undercroft.storage.plain import execute, execute_later

MIGRATE = """
import sys
from pathlib import Path
from undercroft.clock import SystemClock
from undercroft.storage.engine import open_database
database = open_database(sys.argv[1], data_dir=Path("unused"), pool_size=1, clock=SystemClock())
print(*database.migrate())
database.close()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One of our own: these tests take it away."""
    with running_postgres() as running:
        yield running


def opened(url: str, *, pool_size: int = 2) -> Database:
    return open_database(url, data_dir=Path("unused"), pool_size=pool_size, clock=SystemClock())


def bump(connection: Connection) -> None:
    versions.bump(connection, "n")


def test_a_server_that_stops_is_unavailable_at_once_and_used_again_when_it_is_back(server: PostgresServer) -> None:
    url = server.new_database()
    database = opened(url)
    database.migrate()
    database.write_sync(bump)
    server.stop()
    begun = time.monotonic()
    for ask in (lambda: database.write_sync(bump), lambda: database.read_sync(versions.current)):
        with pytest.raises(Unavailable, match="cannot be reached") as caught:
            ask()
        assert caught.value.retry_after_s
    state = asyncio.run(database.state())
    assert state.kind == "unreachable"
    assert "No such file or directory" in state.detail
    assert "No such file or directory" not in state.reason
    assert time.monotonic() - begun < 5
    server.start()
    assert asyncio.run(database.state()).is_ready
    database.write_sync(bump)
    assert database.read_sync(versions.current) == {"n": 2}
    database.close()


def test_a_server_that_restarted_while_nobody_asked_costs_nobody_an_error(server: PostgresServer) -> None:
    database = opened(server.new_database())
    database.migrate()
    database.write_sync(bump)
    server.stop()
    server.start()
    database.write_sync(bump)
    assert database.read_sync(versions.current) == {"n": 2}
    database.close()


def test_opening_needs_no_server(server: PostgresServer) -> None:
    database = opened("postgresql://nobody:secret@127.0.0.1:1/nothing")
    state = database.state_sync()
    assert state.kind == "unreachable"
    assert "secret" not in repr(state)
    database.close()


def test_a_connection_cut_in_a_transaction_is_unavailable_and_the_transaction_is_gone(server: PostgresServer) -> None:
    database = opened(server.new_database())
    database.migrate()

    def cut(connection: Connection) -> None:
        bump(connection)
        process = connection.scalar(text("SELECT pg_backend_pid()"))
        with psycopg.connect(server.url(), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [process])
        bump(connection)

    with pytest.raises(Unavailable, match="cannot be reached"):
        database.write_sync(cut)
    assert database.read_sync(versions.current) == {}
    database.write_sync(bump)
    assert database.read_sync(versions.current) == {"n": 1}
    database.close()


def test_a_connection_cut_between_statements_that_go_together_is_unavailable_too(server: PostgresServer) -> None:
    database = opened(server.new_database(), pool_size=1)
    database.migrate()
    put = "INSERT INTO versions (name, counter) VALUES (%(name)s, 1)"

    def cut(connection: Connection, *, is_last: bool) -> None:
        ((process,),) = execute(connection, "SELECT pg_backend_pid()", {})
        execute_later(connection, put, {"name": "cut"})
        with psycopg.connect(server.url(), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [process])
        if not is_last:
            execute(connection, put, {"name": "behind"})

    for is_last in (True, False):
        with pytest.raises(Unavailable, match="cannot be reached"):
            database.write_sync(partial(cut, is_last=is_last))
        database.write_sync(bump)
    assert database.read_sync(versions.current) == {"n": 2}
    database.close()


def test_a_row_locked_for_too_long_is_unavailable(server: PostgresServer) -> None:
    database = opened(server.new_database())
    database.migrate()
    database.write_sync(bump)

    def wait(connection: Connection) -> None:
        connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
        bump(connection)

    def hold(connection: Connection) -> None:
        bump(connection)
        with pytest.raises(Unavailable, match="Another transaction was in the way"):
            database.write_sync(wait)

    database.write_sync(hold)
    assert database.read_sync(versions.current) == {"n": 2}
    database.close()


def test_when_every_connection_is_taken_the_wait_is_bounded(server: PostgresServer) -> None:
    database = PostgresDatabase(
        make_url(server.new_database()).set(drivername="postgresql+psycopg"), pool_size=1, pool_wait_s=0.2
    )

    def taken(_: Connection) -> float:
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="busy"):
            database.read_sync(lambda connection: connection.scalar(text("SELECT 1")))
        return time.monotonic() - begun

    assert 0.2 <= database.read_sync(taken) < 2
    database.close()


def test_sessions_have_limits_unless_the_operator_set_some(server: PostgresServer) -> None:
    url = server.new_database()

    def limits(url: str) -> tuple[str, ...]:
        database = opened(url)
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "application_name")
        found = database.read_sync(
            lambda connection: tuple(connection.scalars(text(f"SHOW {name}")).one() for name in names)
        )
        database.close()
        return found

    assert limits(url) == ("30s", "10s", "1min", "undercroft")
    own = "&application_name=mine&options=-c%20statement_timeout%3D7s"
    assert limits(url + own) == ("7s", "10s", "1min", "mine")


def test_processes_that_migrate_at_once_do_it_once(server: PostgresServer) -> None:
    url = server.new_database()
    with ExitStack() as stack:
        processes = [stack.enter_context(python(MIGRATE, url)) for _ in range(4)]
        outcomes = sorted(output(process).read().strip() for process in processes)
    assert outcomes == [f"{HEAD} {HEAD}"] * 3 + [f"None {HEAD}"]
