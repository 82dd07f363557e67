"""Statements without SQLAlchemy's result: where rows go by thousands a second, describing their columns costs most."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


def execute(
    connection: Connection, statement: str, parameters: Mapping[str, Any] | Sequence[Any]
) -> list[tuple[Any, ...]]:
    """Runs a statement in the driver's own form of parameters, in the connection's transaction; its rows, if it has
    any. Errors are SQLAlchemy's, as ever."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if _has_rows(cursor) else []
    except connection.dialect.loaded_dbapi.Error as error:
        of_driver = connection.dialect.loaded_dbapi.Error
        explained = DBAPIError.instance(
            statement, None, error, of_driver, hide_parameters=True, dialect=connection.dialect
        )
        raise explained from error
    finally:
        cursor.close()


def _has_rows(cursor: Any) -> bool:
    # psycopg makes its description anew whenever it is looked at, an object for each column.
    return (cursor.rownumber if hasattr(cursor, "rownumber") else cursor.description) is not None
