"""Statements without SQLAlchemy's result: where rows go by thousands a second, describing their columns costs most."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

LINE: Final = "undercroft_line"
"""Where a connection's `info` holds what sends several statements at once (`engines/postgresql_turn.py`), while a
transaction goes over it."""

Parameters = Mapping[str, Any] | Sequence[Any]


class Line(Protocol):
    """Sends statements its own way; raises the driver's errors."""

    def execute(self, statement: str, parameters: Parameters, /) -> list[tuple[Any, ...]]: ...

    def later(self, statement: str, parameters: Parameters, /) -> None: ...

    def conclude(self, statement: str, parameters: Parameters, /) -> list[tuple[Any, ...]]: ...


def execute(connection: Connection, statement: str, parameters: Parameters) -> list[tuple[Any, ...]]:
    """Runs a statement in the driver's own form of parameters, in the connection's transaction; its rows, if it has
    any. Errors are SQLAlchemy's, as ever."""
    line: Line | None = connection.info.get(LINE)
    if line is not None:
        with explained(connection, statement):
            return line.execute(statement, parameters)
    cursor = connection.connection.cursor()
    try:
        with explained(connection, statement):
            cursor.execute(statement, parameters)
            return list(cursor.fetchall()) if _has_rows(cursor) else []
    finally:
        cursor.close()


def execute_later(connection: Connection, statement: str, parameters: Parameters) -> None:
    """The same for what returns no rows that anybody wants: at the latest it is sent along with COMMIT, and what
    comes next raises its error."""
    line: Line | None = connection.info.get(LINE)
    if line is None:
        execute(connection, statement, parameters)
    else:
        line.later(statement, parameters)


def conclude(connection: Connection, statement: str, parameters: Parameters) -> list[tuple[Any, ...]]:
    """The rows of a transaction's last statement, which may take COMMIT along: nothing may be executed behind it."""
    line: Line | None = connection.info.get(LINE)
    if line is None:
        return execute(connection, statement, parameters)
    with explained(connection, statement):
        return line.conclude(statement, parameters)


class explained:  # noqa: N801 - used like a function; a generator's would cost a statement three microseconds
    """Around what the driver does: its errors become SQLAlchemy's."""

    def __init__(self, connection: Connection, statement: str) -> None:
        self._connection = connection
        self._statement = statement

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        dialect = self._connection.dialect
        of_driver = dialect.loaded_dbapi.Error
        if isinstance(error, of_driver):
            raise DBAPIError.instance(
                self._statement, None, error, of_driver, hide_parameters=True, dialect=dialect
            ) from error


def _has_rows(cursor: Any) -> bool:
    # psycopg makes its description anew whenever it is looked at, an object for each column.
    return (cursor.rownumber if hasattr(cursor, "rownumber") else cursor.description) is not None
