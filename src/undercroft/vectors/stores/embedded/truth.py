"""What is stored, in SQLite: the statements behind the embedded store.

A row never changes and its number is never used again: a point that is written anew gets a new row. So whoever holds
something derived needs only the rows past the last it knows, and the numbers of those that were removed.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from undercroft.vectors.types import CollectionSpec, Metadata, Point, Vector

VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE collections (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, spec TEXT NOT NULL);
CREATE TABLE points (
  row INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL, namespace TEXT NOT NULL, id TEXT NOT NULL,
  metadata TEXT NOT NULL, text TEXT);
CREATE UNIQUE INDEX points_by_id ON points (collection, namespace, id);
CREATE INDEX points_by_row ON points (collection, row);
CREATE TABLE vectors (row INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE removed (change INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL, row INTEGER NOT NULL);
CREATE INDEX removed_by_collection ON removed (collection, change)
"""
# Vectors lie apart from the rest: who reads the metadata of all points need not walk over them.

KEPT_REMOVALS: Final = 200_000
"""Of all collections together. Whoever knows less than the oldest reads its rows again."""
AT_ONCE: Final = 500
"""Values of one statement."""


class Located(msgspec.Struct, frozen=True):
    """A collection and the number that it has for as long as it lives."""

    number: int
    spec: CollectionSpec


class Stored(msgspec.Struct, frozen=True):
    """A row without its vector."""

    id: str
    metadata: Metadata
    text: str | None


def located(connection: sqlite3.Connection, name: str) -> Located | None:
    row = connection.execute("SELECT number, spec FROM collections WHERE name = ?", (name,)).fetchone()
    return None if row is None else Located(row[0], _spec(row[1]))


def all_located(connection: sqlite3.Connection) -> list[Located]:
    rows = connection.execute("SELECT number, spec FROM collections ORDER BY name")
    return [Located(number, _spec(spec)) for number, spec in rows]


def create(connection: sqlite3.Connection, spec: CollectionSpec) -> Located | None:
    """What is there already under this name; None when it was made."""
    if there := located(connection, spec.name):
        return there
    values = (spec.name, msgspec.json.encode(spec).decode())
    connection.execute("INSERT INTO collections (name, spec) VALUES (?, ?)", values)
    return None


def drop(connection: sqlite3.Connection, name: str) -> Located | None:
    """What was dropped."""
    if there := located(connection, name):
        of = (there.number,)
        connection.execute("DELETE FROM vectors WHERE row IN (SELECT row FROM points WHERE collection = ?)", of)
        connection.execute("DELETE FROM points WHERE collection = ?", of)
        connection.execute("DELETE FROM removed WHERE collection = ?", of)
        connection.execute("DELETE FROM collections WHERE number = ?", of)
    return there


def upsert(connection: sqlite3.Connection, number: int, namespace: str, points: Sequence[Point]) -> None:
    """Stores the points, each in place of the one with its id."""
    remove(connection, number, _rows_of(connection, number, namespace, [point.id for point in points]))
    row = last_row(connection) + 1
    encode = msgspec.json.encode
    connection.executemany(
        "INSERT INTO points (row, collection, namespace, id, metadata, text) VALUES (?, ?, ?, ?, ?, ?)",
        (
            (row + place, number, namespace, point.id, encode(point.metadata).decode(), point.text)
            for place, point in enumerate(points)
        ),
    )
    connection.executemany(
        "INSERT INTO vectors (row, vector) VALUES (?, ?)",
        ((row + place, memoryview(point.vector)) for place, point in enumerate(points)),
    )


def delete(connection: sqlite3.Connection, number: int, namespace: str, ids: Sequence[str]) -> int:
    """Returns how many were there."""
    return remove(connection, number, _rows_of(connection, number, namespace, ids))


def delete_namespace(connection: sqlite3.Connection, number: int, namespace: str) -> int:
    found = connection.execute("SELECT row FROM points WHERE collection = ? AND namespace = ?", (number, namespace))
    return remove(connection, number, [row for (row,) in found])


def remove(connection: sqlite3.Connection, number: int, rows: Sequence[int]) -> int:
    """Deletes those of the rows that are still there, and leaves word of it."""
    there = [row for row in rows if connection.execute("DELETE FROM points WHERE row = ?", (row,)).rowcount]
    connection.executemany("DELETE FROM vectors WHERE row = ?", ((row,) for row in there))
    connection.executemany("INSERT INTO removed (collection, row) VALUES (?, ?)", ((number, row) for row in there))
    if there:
        connection.execute("DELETE FROM removed WHERE change <= ?", (last_change(connection) - KEPT_REMOVALS,))
    return len(there)


def last_row(connection: sqlite3.Connection) -> int:
    """The last number that was given to a row, of any collection, whether it is still there or not."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'points'").fetchone()
    return int(found[0]) if found else 0


def last_change(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'removed'").fetchone()
    return int(found[0]) if found else 0


def removed_since(connection: sqlite3.Connection, number: int, change: int) -> list[int] | None:
    """Rows that were removed after that change; None when word of some of them is no longer kept."""
    (oldest,) = connection.execute("SELECT min(change) FROM removed").fetchone()
    if last_change(connection) > change and (oldest is None or oldest > change + 1):
        return None
    found = connection.execute("SELECT row FROM removed WHERE collection = ? AND change > ?", (number, change))
    return [row for (row,) in found]


def rows_there(connection: sqlite3.Connection, number: int, *, up_to: int) -> list[int]:
    found = connection.execute("SELECT row FROM points WHERE collection = ? AND row <= ?", (number, up_to))
    return [row for (row,) in found]


def count_after(connection: sqlite3.Connection, number: int, row: int) -> int:
    found = connection.execute("SELECT count(*) FROM points WHERE collection = ? AND row > ?", (number, row)).fetchone()
    return int(found[0])


def vectors_after(connection: sqlite3.Connection, number: int, row: int) -> Iterator[Sequence[tuple[int, str, bytes]]]:
    """Row, namespace and vector of what is past `row`, in order, in handfuls."""
    cursor = connection.execute(
        "SELECT points.row, namespace, vector FROM points JOIN vectors ON vectors.row = points.row"
        " WHERE collection = ? AND points.row > ? ORDER BY points.row",
        (number, row),
    )
    while some := cursor.fetchmany(2000):
        yield some


def metadata_after(connection: sqlite3.Connection, number: int, row: int) -> Iterator[tuple[int, bytes]]:
    """Row and JSON of what is past `row`, in order."""
    return connection.execute(
        "SELECT row, CAST(metadata AS BLOB) FROM points WHERE collection = ? AND row > ? ORDER BY row", (number, row)
    )


def texts_after(connection: sqlite3.Connection, number: int, row: int) -> Iterator[tuple[int, str]]:
    """Row and text of what is past `row` and has one, in order."""
    return connection.execute(
        "SELECT row, text FROM points WHERE collection = ? AND row > ? AND text IS NOT NULL ORDER BY row", (number, row)
    )


def stored(connection: sqlite3.Connection, rows: Sequence[int]) -> Mapping[int, Stored]:
    """What stands in these rows; those that are gone are missing."""
    found: dict[int, Stored] = {}
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        sql = f"SELECT row, id, metadata, text FROM points WHERE row IN ({','.join('?' * len(some))})"  # noqa: S608 - marks
        for row, name, metadata, text in connection.execute(sql, some):
            found[row] = Stored(name, NOTHING if metadata == "{}" else decode_metadata(metadata), text)
    return found


def vectors(connection: sqlite3.Connection, rows: Sequence[int]) -> Mapping[int, "Vector[float]"]:
    """The vectors of these rows, as they were given."""
    found: dict[int, Vector[float]] = {}
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        sql = f"SELECT row, vector FROM vectors WHERE row IN ({','.join('?' * len(some))})"  # noqa: S608 - marks
        for row, raw in connection.execute(sql, some):
            vector = Vector("f")
            vector.frombytes(raw)
            found[row] = vector
    return found


def points_of_ids(connection: sqlite3.Connection, number: int, namespace: str, ids: Sequence[str]) -> list[Point]:
    return points(connection, _rows_of(connection, number, namespace, ids))


def points(connection: sqlite3.Connection, rows: Sequence[int]) -> list[Point]:
    """Those that are there, in this order."""
    found, numbers = stored(connection, rows), vectors(connection, rows)
    return [
        Point(id=found[row].id, vector=numbers[row], metadata=found[row].metadata, text=found[row].text)
        for row in rows
        if row in found
    ]


def page_rows(connection: sqlite3.Connection, number: int, namespace: str, *, after: int, limit: int) -> list[int]:
    found = connection.execute(
        "SELECT row FROM points INDEXED BY points_by_row WHERE collection = ? AND row > ? AND namespace = ?"
        " ORDER BY row LIMIT ?",
        (number, after, namespace, limit),
    )
    return [row for (row,) in found]


def count(connection: sqlite3.Connection, number: int, namespace: str) -> int:
    sql = "SELECT count(*) FROM points WHERE collection = ? AND namespace = ?"
    return int(connection.execute(sql, (number, namespace)).fetchone()[0])


def namespaces(connection: sqlite3.Connection, number: int) -> dict[str, int]:
    sql = "SELECT namespace, count(*) FROM points WHERE collection = ? GROUP BY namespace"
    return dict(connection.execute(sql, (number,)).fetchall())


def _rows_of(connection: sqlite3.Connection, number: int, namespace: str, ids: Sequence[str]) -> list[int]:
    """The rows of the ids that are there, in the order of the ids."""
    found: dict[str, int] = {}
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        sql = (
            f"SELECT id, row FROM points WHERE collection = ? AND namespace = ? AND id IN ({','.join('?' * len(some))})"  # noqa: S608 - marks
        )
        found.update(connection.execute(sql, (number, namespace, *some)).fetchall())
    return [found[one] for one in dict.fromkeys(ids) if one in found]


def _spec(text: str) -> CollectionSpec:
    return msgspec.json.decode(text, type=CollectionSpec)


NOTHING: Final[Mapping[str, Any]] = {}
decode_metadata: Final = msgspec.json.Decoder(dict[str, str | int | float | bool | tuple[str, ...]]).decode
