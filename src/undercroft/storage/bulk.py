"""Many rows at once, given by column, where one at a time would cost too much."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table

from undercroft.storage.columns import has_one_value
from undercroft.storage.plain import execute
from undercroft.storage.schema import Json

ROWS: Final = 64
"""Rows of one statement on SQLite, where there are so many.

The driver gives the interpreter's lock up for each execution, and a busy event loop is slow to give it back: an
`executemany` asks for it as often as there are rows.
"""
POWERS: Final = (64, 32, 16, 8, 4, 2, 1)
"""For any number of rows, with as many prepared statements."""
_PASSING_OVER: Final = " ON CONFLICT DO NOTHING"


def insert_values(
    connection: Connection, table: str, names: tuple[str, ...], rows: Sequence[Sequence[Any]], *, ending: str = ""
) -> None:
    """Inserts rows of what SQLite knows: texts, numbers and None, in the order of `names`.

    For few rows that must soon be there: bound as they are, one costs a third of what it does out of a document.
    """
    start = 0
    for count in POWERS:
        while len(rows) - start >= count:
            values = tuple(chain.from_iterable(rows[start : start + count]))
            execute(connection, _with_values(table, names, count) + ending, values)
            start += count


def insert_new(connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """Inserts the rows that lie across `columns`; those whose key is there already are passed over."""
    if connection.dialect.name == "postgresql":
        _insert_json(connection, table, columns)
    else:
        _insert_columns(connection, table, columns)


def _insert_columns(connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    stored = {
        name: _as_text(column) if isinstance(table.c[name].type, Json) else column for name, column in columns.items()
    }
    own = {name: column for name, column in stored.items() if not has_one_value(column)}
    start = 0
    if own:
        shared = {name: column[0] for name, column in stored.items() if name not in own}
        statement = _with_shared(table.name, tuple(shared), tuple(own))
        once, values = tuple(shared.values()), tuple(chain.from_iterable(zip(*own.values(), strict=True)))
        for last in range(ROWS * len(own), len(values) + 1, ROWS * len(own)):
            execute(connection, statement, once + values[last - ROWS * len(own) : last])
            start += ROWS
    rest = list(zip(*[column[start:] for column in stored.values()], strict=True))
    insert_values(connection, table.name, tuple(stored), rest, ending=_PASSING_OVER)


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
def _with_shared(table: str, shared: tuple[str, ...], own: tuple[str, ...]) -> str:
    """For rows that have the same in some columns, which is bound once: binding costs as much as storing does."""
    row = f"({','.join('?' * len(own))})"
    chosen = ",".join(["?"] * len(shared) + [f"column{number}" for number in range(1, len(own) + 1)])
    rows = f"VALUES {','.join([row] * ROWS)}"
    # Without the WHERE SQLite would take ON CONFLICT for the condition of a join.
    chosen = f"SELECT {chosen} FROM ({rows}) WHERE true"  # noqa: S608 - names of our schema
    return f'INSERT INTO "{table}" ({_listed(shared + own)}) {chosen}{_PASSING_OVER}'


@lru_cache
def _with_json(table: str, names: tuple[str, ...]) -> str:
    listed = _listed(names)
    rows = f'json_populate_recordset(NULL::"{table}", %s::json)'
    return f'INSERT INTO "{table}" ({listed}) SELECT {listed} FROM {rows}{_PASSING_OVER}'  # noqa: S608 - as above


def _listed(names: tuple[str, ...]) -> str:
    return ",".join(f'"{name}"' for name in names)


def _as_text(column: Sequence[Any]) -> list[str]:
    if not any(column) and len(set(map(type, column))) == 1:  # nearly always: nothing but empty ones
        return [msgspec.json.encode(column[0]).decode()] * len(column)
    return [msgspec.json.encode(value).decode() for value in column]
