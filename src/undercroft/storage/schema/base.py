"""What the tables are made of: the metadata that they share, JSON in a column, and an INSERT that knows ON CONFLICT."""

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Connection, Dialect, MetaData, Table, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite  # imported when the database turns out to be theirs


class Json(TypeDecorator[Any]):
    """JSON as `jsonb` on PostgreSQL and as text on SQLite, where a column of type JSON would make `5` a number."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import JSONB

            return dialect.type_descriptor(JSONB())
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return msgspec.json.decode(value)


def insert(connection: Connection, table: Table) -> "postgresql.Insert | sqlite.Insert":
    """An INSERT of this database's dialect: the generic one has no ON CONFLICT, these two have the same."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


metadata = MetaData()
