"""Statements round SQLAlchemy: in their order, in their transaction, whether they are sent at once or with others."""

from functools import partial

import psycopg
import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from undercroft.storage.engine import Database
from undercroft.storage.plain import conclude, execute, execute_later
from undercroft.storage.schema import versions as table

PUT = {
    "sqlite": "INSERT INTO versions (name, counter) VALUES (:name, :counter)",
    "postgresql": "INSERT INTO versions (name, counter) VALUES (%(name)s, %(counter)s)",
}
ALL = "SELECT name, counter FROM versions ORDER BY name"


def put(connection: Connection, name: str, counter: int = 1, *, later: bool = False) -> None:
    (execute_later if later else execute)(connection, PUT[connection.dialect.name], {"name": name, "counter": counter})


def everything(database: Database) -> list[tuple[object, ...]]:
    return database.read_sync(lambda connection: execute(connection, ALL, {}))


def test_what_is_put_off_is_there_for_whatever_comes_next(database: Database) -> None:
    def work(connection: Connection) -> tuple[list[tuple[object, ...]], int | None]:
        put(connection, "a", later=True)
        rows = execute(connection, ALL, {})
        put(connection, "b", 2**40, later=True)
        counted = connection.scalar(select(func.count()).select_from(table))  # by SQLAlchemy
        put(connection, "é\u2028", later=True)
        return rows, counted

    assert database.write_sync(work) == ([("a", 1)], 2)
    assert everything(database) == [("a", 1), ("b", 2**40), ("é\u2028", 1)]


def test_rows_are_those_of_the_statement_that_was_asked_for(database: Database) -> None:
    def work(connection: Connection) -> list[tuple[object, ...]]:
        put(connection, "a")
        execute_later(connection, ALL, {})
        return execute(connection, "UPDATE versions SET counter = counter + 1", {})

    assert database.write_sync(work) == []
    assert everything(database) == [("a", 2)]


def test_none_is_null_and_the_same_name_counts_wherever_it_stands(database: Database) -> None:
    mark = {"sqlite": ":value", "postgresql": "%(value)s"}[database.dialect]
    statement = f"SELECT COALESCE({mark}, 'nothing'), {mark} IS NULL"

    def work(connection: Connection) -> list[tuple[object, ...]]:
        return [*execute(connection, statement, {"value": None}), *execute(connection, statement, {"value": "x"})]

    first, second = database.write_sync(work)
    assert (first[0], bool(first[1]), second[0], bool(second[1])) == ("nothing", True, "x", False)


def test_an_error_of_what_was_put_off_takes_everything_back(database: Database) -> None:
    database.write_sync(lambda connection: put(connection, "taken"))

    def at_the_end(connection: Connection) -> None:
        put(connection, "before")
        put(connection, "taken", later=True)

    def in_between(connection: Connection) -> None:
        put(connection, "taken", later=True)
        put(connection, "behind")

    def by_sqlalchemy(connection: Connection) -> None:
        put(connection, "taken", later=True)
        connection.execute(table.insert().values(name="behind", counter=1))

    for work in (at_the_end, in_between, by_sqlalchemy):
        for _ in range(2):  # the second time over a connection that knows the statements
            with pytest.raises(IntegrityError):
                database.write_sync(work)
    assert everything(database) == [("taken", 1)]


def test_a_transaction_that_sqlalchemy_began_goes_on_behind_a_rollback(database: Database) -> None:
    """Of another one, over the same connection; psycopg's own prepared statements are forgotten with it."""

    def work(connection: Connection) -> None:
        connection.execute(select(table.c.name)).all()
        put(connection, "a", later=True)
        raise KeyError

    for _ in range(12):  # psycopg prepares what it has sent five times
        with pytest.raises(KeyError):
            database.write_sync(work)

    def again(connection: Connection) -> None:
        connection.execute(select(table.c.name)).all()
        put(connection, "a", later=True)
        put(connection, "b")

    database.write_sync(again)
    assert everything(database) == [("a", 1), ("b", 1)]


def test_and_behind_a_table_that_goes(database: Database) -> None:
    def work(connection: Connection, name: str) -> None:
        connection.execute(select(table.c.name)).all()
        put(connection, name, later=True)

    for name in "abcdefgh":
        database.write_sync(partial(work, name=name))
    database.write_sync(lambda connection: connection.exec_driver_sql("DROP TABLE IF EXISTS no_such_table"))
    database.write_sync(partial(work, name="z"))
    assert len(everything(database)) == 9


def test_a_work_that_raises_sends_nothing_of_what_it_put_off(database: Database) -> None:
    def work(connection: Connection) -> None:
        put(connection, "a", later=True)
        raise KeyError("changed my mind")

    with pytest.raises(KeyError):
        database.write_sync(work)
    database.write_sync(lambda connection: put(connection, "b"))
    assert everything(database) == [("b", 1)]


def test_a_statement_that_fails_for_good_names_itself_and_the_connection_goes_on(database: Database) -> None:
    for _ in range(3):
        with pytest.raises(DBAPIError, match="nowhere"):
            database.write_sync(lambda connection: execute(connection, "SELECT 1 FROM nowhere", {}))
    database.write_sync(lambda connection: put(connection, "a"))
    assert everything(database) == [("a", 1)]


def test_the_last_statement_has_its_rows_and_all_of_it_is_there(database: Database) -> None:
    def work(connection: Connection) -> list[tuple[object, ...]]:
        put(connection, "a", later=True)
        return conclude(connection, f"{PUT[connection.dialect.name]} RETURNING name", {"name": "b", "counter": 2})

    assert database.write_sync(work) == [("b",)]
    assert everything(database) == [("a", 1), ("b", 2)]
    with pytest.raises(IntegrityError):
        database.write_sync(work)
    assert everything(database) == [("a", 1), ("b", 2)]


def test_a_large_value_goes_through_in_one_piece(database: Database) -> None:
    """More than a socket holds, both ways at once."""
    large = "x" * 5_000_000
    mark = {"sqlite": ":value", "postgresql": "CAST(%(value)s AS text)"}[database.dialect]
    assert database.write_sync(lambda connection: execute(connection, f"SELECT {mark}", {"value": large})) == [(large,)]


def test_statements_that_the_server_was_told_to_forget_are_told_again(postgres_url: str) -> None:
    """As psycopg does behind a rollback, for all that the session knows."""
    from undercroft.storage.engines.postgresql_turn import Line

    with psycopg.connect(postgres_url) as session:
        line = Line(session)
        statement = "SELECT CAST(%(value)s AS integer) + 1"
        for value in range(3):
            assert line.execute(statement, {"value": value}) == [(value + 1,)]
            line.commit()
            session.execute("DEALLOCATE ALL")
            session.commit()


def test_nothing_follows_the_last_statement(postgres_url: str) -> None:
    from undercroft.storage.engines.postgresql_turn import Line

    with psycopg.connect(postgres_url) as session:
        line = Line(session)
        assert line.conclude("SELECT 1", {}) == [(1,)]
        assert session.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        with pytest.raises(AssertionError):
            line.later("SELECT 2", {})
        line.renew()
        assert line.execute("SELECT 2", {}) == [(2,)]


def test_a_session_that_is_cut_off_in_the_middle_says_so_and_is_closed(postgres_url: str) -> None:
    from undercroft.storage.engines.postgresql_turn import Line

    with psycopg.connect(postgres_url) as session, psycopg.connect(postgres_url, autocommit=True) as other:
        line = Line(session)
        line.execute("SELECT 1", {})
        other.execute("SELECT pg_terminate_backend(%s)", [session.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            line.execute("SELECT 1", {})
        assert session.closed
