"""Rows as lines of JSON that are the same for every database, and sums that do not depend on their order."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, LargeBinary, Row, Table, delete, func, insert, select, text

from undercroft.errors import Conflict
from undercroft.storage.schema import blob_pieces, cache_entries, duties, metadata

LEFT_OUT: Final[Mapping[str, str]] = {
    duties.name: "leases of processes that run now",
    cache_entries.name: "the cache fills itself anew",
    blob_pieces.name: "the bytes of files are kept as files",
}
"""Tables that no backup has, and why."""
DEFAULTS: Final = ("organisations", "teams", "users")
"""Tables in which a fresh database has a row `default`."""
ROWS_AT_ONCE: Final = 500
MODULUS: Final = 2**256


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows a table has, and the sum of their SHA-256 (mod 2^256), in whatever order they come."""

    rows: int = 0
    sha256_sum: str = "0"


def tables() -> list[Table]:
    """Those that are kept, each behind those that it refers to."""
    return [table for table in metadata.sorted_tables if table.name not in LEFT_OUT]


def lines_of(connection: Connection, table: Table) -> Iterator[bytes]:
    """Every row of a table, as a line without its end."""
    for row in connection.execute(select(table), execution_options={"yield_per": ROWS_AT_ONCE}):
        yield encoded(row)


def encoded(row: Row[Any]) -> bytes:
    """A row's values in the order of its columns: bytes in base64, the keys of JSON sorted."""
    return msgspec.json.encode([bytes(each) if isinstance(each, memoryview) else each for each in row], order="sorted")


def decoded(table: Table, line: bytes) -> dict[str, Any]:
    """The row of a line. Raises msgspec.DecodeError or ValueError for one that is none."""
    values: Sequence[Any] = msgspec.json.decode(line, type=list[Any])
    return {
        column.name: base64.b64decode(value) if value is not None and isinstance(column.type, LargeBinary) else value
        for column, value in zip(table.columns, values, strict=True)
    }


def summed(lines: Iterable[bytes]) -> Sum:
    """Of many lines."""
    rows = total = 0
    for line in lines:
        rows += 1
        total += int.from_bytes(hashlib.sha256(line).digest())
    return Sum(rows=rows, sha256_sum=f"{total % MODULUS:x}")


def check_empty(connection: Connection) -> None:
    """Raises Conflict when anything was ever kept in this database."""
    for table in tables():
        found = connection.execute(select(func.count()).select_from(table)).scalar_one()
        expected = 1 if table.name in DEFAULTS else 0
        if found > expected:
            raise Conflict(
                f"The database to restore to is not empty: {table.name} has {found} rows. Nothing was changed.",
                hint="Restore to a new database, or a new `data_dir`.",
            )


def fill(connection: Connection, table: Table, lines: Iterable[bytes]) -> int:
    """Puts rows into an empty table, in place of what a fresh database has in it; how many."""
    count, waiting = 0, list[dict[str, Any]]()
    for line in lines:
        waiting.append(decoded(table, line))
        if len(waiting) == ROWS_AT_ONCE:
            connection.execute(insert(table), waiting)
            count, waiting = count + len(waiting), []
    if waiting:
        connection.execute(insert(table), waiting)
    return count + len(waiting)


def clear_defaults(connection: Connection) -> None:
    """Takes away what a fresh database has of its own."""
    for name in reversed(DEFAULTS):
        connection.execute(delete(metadata.tables[name]))


def move_sequences(connection: Connection) -> None:
    """PostgreSQL counts events by a sequence, which goes on behind the last that was restored."""
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SELECT setval('events_numbers', greatest((SELECT coalesce(max(number), 0) FROM events), 1))")
        )
