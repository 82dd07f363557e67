"""Many rows at once, given by column, where one at a time would cost too much."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table

from undercroft.storage.plain import execute
from undercroft.storage.schema import Json

ROWS: Final = (64, 8, 1)
"""Rows of one statement on SQLite, so that three prepared ones fit any number of rows.

The driver gives the interpreter's lock up for each execution, and a busy event loop is slow to give it back: an
`executemany` asks for it as often as there are rows.
"""
POWERS: Final = (64, 32, 16, 8, 4, 2, 1)
"""The same for rows that are few most of the time."""


def insert_values(connection: Connection, table: str, names: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
    """Inserts rows of what SQLite knows: texts, numbers and None, in the order of `names`.

    For few rows that must soon be there: bound as they are, one costs a third of what it does out of a document.
    """
    start = 0
    for count in POWERS:
        while len(rows) - start >= count:
            values = tuple(chain.from_iterable(rows[start : start + count]))
            execute(connection, _with_values(table, names, count), values)
            start += count


def insert_new(connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """Inserts the rows that lie across `columns`; those whose key is there already are passed over."""
    if connection.dialect.name == "postgresql":
        _insert_json(connection, table, columns)
    else:
        _insert_values(connection, table, columns)


def _insert_values(connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    names = tuple(columns)
    stored = [_as_text(column) if isinstance(table.c[name].type, Json) else column for name, column in columns.items()]
    values = tuple(chain.from_iterable(zip(*stored, strict=True)))
    start, width = 0, len(names)
    for rows in ROWS:
        while len(values) - start >= rows * width:
            statement = f"{_with_values(table.name, names, rows)} ON CONFLICT DO NOTHING"
            connection.exec_driver_sql(statement, values[start : start + rows * width])
            start += rows * width


def _insert_json(connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """All in one document, taken apart by the server: a tenth of what the driver's `executemany` costs on our side."""
    names = tuple(columns)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    connection.exec_driver_sql(_with_json(table.name, names), (msgspec.json.encode(rows).decode(),))


@lru_cache
def _with_values(table: str, names: tuple[str, ...], rows: int) -> str:
    row = f"({','.join('?' * len(names))})"
    return f'INSERT INTO "{table}" ({_listed(names)}) VALUES {",".join([row] * rows)}'  # noqa: S608 - names of our schema


@lru_cache
def _with_json(table: str, names: tuple[str, ...]) -> str:
    listed = _listed(names)
    rows = f'json_populate_recordset(NULL::"{table}", %s::json)'
    return f'INSERT INTO "{table}" ({listed}) SELECT {listed} FROM {rows} ON CONFLICT DO NOTHING'  # noqa: S608 - as above


def _listed(names: tuple[str, ...]) -> str:
    return ",".join(f'"{name}"' for name in names)


def _as_text(column: Sequence[Any]) -> list[str]:
    return [msgspec.json.encode(value).decode() for value in column]
