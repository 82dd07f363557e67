"""Statements without SQLAlchemy's result: where rows go by thousands a second, describing their columns costs most."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

Rows = list[tuple[Any, ...]]


def execute(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> Rows:
    """Runs a statement in the driver's own form of parameters, in the connection's transaction; its rows, if it has
    any. Errors are SQLAlchemy's, as ever.

    In a pipelined work (`transaction.py`) a statement without rows is only sent: its error comes up with the next
    rows, or at the end.
    """
    return begin(connection, statement, parameters)()


def begin(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> Callable[[], Rows]:
    """The same; in a pipelined work the statement is sent, and its rows are waited for when they are asked for. That
    may be when the work is over."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, parameters)
        if not _is_pipelined(cursor):
            rows = list(cursor.fetchall()) if _has_rows(cursor) else []
            cursor.close()
            return lambda: rows
    except connection.dialect.loaded_dbapi.Error as error:
        cursor.close()
        raise explained(connection, statement, error) from error
    return lambda: _awaited(connection, cursor, statement) if _returns(statement) else []


def explained(connection: Connection, statement: str, error: Exception) -> DBAPIError:
    """The driver's error as SQLAlchemy would raise it."""
    of_driver = connection.dialect.loaded_dbapi.Error
    found = DBAPIError.instance(statement, None, error, of_driver, hide_parameters=True, dialect=connection.dialect)
    assert isinstance(found, DBAPIError)
    return found


def _awaited(connection: Connection, cursor: Any, statement: str) -> Rows:
    try:
        return list(cursor.fetchall())
    except connection.dialect.loaded_dbapi.Error as error:
        raise explained(connection, statement, error) from error


def _is_pipelined(cursor: Any) -> bool:
    return hasattr(cursor, "rownumber") and bool(cursor.connection.pgconn.pipeline_status)


def _has_rows(cursor: Any) -> bool:
    # psycopg makes its description anew whenever it is looked at, an object for each column.
    return (cursor.rownumber if hasattr(cursor, "rownumber") else cursor.description) is not None


@lru_cache(maxsize=256)
def _returns(statement: str) -> bool:
    """Whether it will have rows: nobody knows before its answer is there."""
    return "RETURNING" in statement or statement.lstrip().startswith(("SELECT", "WITH"))
