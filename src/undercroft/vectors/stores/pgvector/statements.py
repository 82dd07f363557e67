"""The statements behind the pgvector store. Every collection is a table of its own, as an index wants its dimension."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from undercroft.errors import ConfigurationError
from undercroft.vectors.stores.pgvector.conditions import Condition, json_text
from undercroft.vectors.types import CollectionSpec, Hit, Metric, Point, Query, TextQuery, Vector, vector_of

SCHEMA: Final = "undercroft_vectors"
LISTS_FROM: Final = 1000
"""Rows before an IVFFlat index is made: its lists are chosen from what is there."""
HALF_DIMENSIONS: Final = 4000
INDEXED_DIMENSIONS: Final = 2000
"""What pgvector indexes at most, with two and with four bytes a number; larger ones are compared one by one."""
EFFORT: Final = 100
MOST_EFFORT: Final = 1000
LOCK: Final = 0x766563746F72

OPERATORS: Final[dict[Metric, tuple[str, str]]] = {
    "cosine": ("<=>", "cosine_ops"),
    "dot": ("<#>", "ip_ops"),
    "euclidean": ("<->", "l2_ops"),
}


class Located(msgspec.Struct, frozen=True):
    """A collection and its table."""

    number: int
    spec: CollectionSpec

    @property
    def table(self) -> str:
        return f"{SCHEMA}.points_{self.number}"

    @property
    def half(self) -> str:
        """The type that the index holds: `halfvec(3)`; empty when there is none."""
        kind, dimension = self.spec.index, self.spec.dimension
        if kind.kind == "none" or dimension > (HALF_DIMENSIONS if kind.is_half else INDEXED_DIMENSIONS):
            return ""
        return f"{'halfvec' if kind.is_half else 'vector'}({dimension})"


def prepare(connection: Connection) -> None:
    """Makes the extension and the schema where they are missing. Raises ConfigurationError."""
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
    if connection.exec_driver_sql("SELECT 1 FROM pg_extension WHERE extname = 'vector'").scalar() is None:
        try:
            with connection.begin_nested():
                connection.exec_driver_sql("CREATE EXTENSION vector")
        except DBAPIError as error:
            raise ConfigurationError(
                f"PostgreSQL cannot make the extension vector: {str(error.orig).splitlines()[0]}.",
                hint="Install pgvector on the server, then let an administrator type: CREATE EXTENSION vector;",
            ) from error
    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    connection.exec_driver_sql(
        f"CREATE TABLE IF NOT EXISTS {SCHEMA}.collections (number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " name TEXT NOT NULL UNIQUE, spec JSONB NOT NULL)"
    )


def all_located(connection: Connection) -> list[Located]:
    if connection.exec_driver_sql("SELECT to_regclass(%s)", (f"{SCHEMA}.collections",)).scalar() is None:
        return []
    rows = connection.exec_driver_sql(f'SELECT number, spec::text FROM {SCHEMA}.collections ORDER BY name COLLATE "C"')
    return [Located(number, msgspec.json.decode(spec, type=CollectionSpec)) for number, spec in rows]


def create(connection: Connection, spec: CollectionSpec) -> Located | None:
    """What is there already under this name; None when it was made."""
    prepare(connection)
    if there := next((each for each in all_located(connection) if each.spec.name == spec.name), None):
        return there
    number = connection.exec_driver_sql(
        f"INSERT INTO {SCHEMA}.collections (name, spec) VALUES (%s, %s::jsonb) RETURNING number",
        (spec.name, json_text(spec)),
    ).scalar_one()
    made = Located(number, spec)
    connection.exec_driver_sql(
        f"CREATE TABLE {made.table} (row BIGINT GENERATED ALWAYS AS IDENTITY UNIQUE, namespace TEXT NOT NULL,"
        f' id TEXT COLLATE "C" NOT NULL, vector vector({spec.dimension}) NOT NULL, metadata JSONB NOT NULL,'
        " text TEXT, words TSVECTOR GENERATED ALWAYS AS (to_tsvector('english', coalesce(text, ''))) STORED,"
        " PRIMARY KEY (namespace, id))"
    )
    connection.exec_driver_sql(f"CREATE INDEX ON {made.table} USING gin (metadata jsonb_path_ops)")
    connection.exec_driver_sql(f"CREATE INDEX ON {made.table} USING gin (words)")
    if spec.index.kind == "hnsw":
        make_index(connection, made)
    return None


def make_index(connection: Connection, located: Located) -> None:
    """The approximate index, where the dimension lets there be one."""
    if not located.half:
        return
    connection.exec_driver_sql("SELECT set_config('statement_timeout', '0', true)")
    index, (_, operators) = located.spec.index, OPERATORS[located.spec.metric]
    kind = located.half.partition("(")[0]
    options = f"m = {index.connectivity}, ef_construction = {max(index.build_effort, 2 * index.connectivity)}"
    if index.kind == "ivfflat":
        options = f"lists = {lists(connection, located)}"
    connection.exec_driver_sql(
        f"CREATE INDEX IF NOT EXISTS nearest_{located.number} ON {located.table}"
        f" USING {index.kind} ((vector::{located.half}) {kind}_{operators}) WITH ({options})"
    )


def lists(connection: Connection, located: Located) -> int:
    """How many IVFFlat lists: as many as were asked for, or one for each thousand rows."""
    if located.spec.index.lists is not None:
        return located.spec.index.lists
    rows = connection.exec_driver_sql(f"SELECT count(*) FROM {located.table}").scalar_one()
    return max(10, int(rows) // 1000)


def drop(connection: Connection, name: str) -> bool:
    for located in all_located(connection):
        if located.spec.name == name:
            connection.exec_driver_sql(f"DROP TABLE {located.table}")
            connection.exec_driver_sql(f"DELETE FROM {SCHEMA}.collections WHERE name = %s", (name,))
            return True
    return False


def upsert(connection: Connection, located: Located, namespace: str, points: Sequence[Point]) -> None:
    ordered = sorted(points, key=lambda point: point.id)  # two writers of the same points do not wait for each other
    connection.exec_driver_sql(
        f"INSERT INTO {located.table} (namespace, id, vector, metadata, text)"
        " VALUES (%s, %s, %s::vector, %s::jsonb, %s) ON CONFLICT (namespace, id) DO UPDATE SET"
        " vector = excluded.vector, metadata = excluded.metadata, text = excluded.text",
        [(namespace, point.id, vector_text(point.vector), json_text(point.metadata), point.text) for point in ordered],
    )
    if located.spec.index.kind == "ivfflat" and not _has_index(connection, located):
        rows = connection.exec_driver_sql(f"SELECT count(*) FROM {located.table}").scalar_one()
        if int(rows) >= LISTS_FROM:
            make_index(connection, located)


def _has_index(connection: Connection, located: Located) -> bool:
    name = f"{SCHEMA}.nearest_{located.number}"
    return connection.exec_driver_sql("SELECT to_regclass(%s)", (name,)).scalar() is not None


def get(connection: Connection, located: Located, namespace: str, ids: Sequence[str]) -> list[Point]:
    rows = connection.exec_driver_sql(
        f"SELECT id, metadata::text, text, vector::real[] FROM {located.table} WHERE namespace = %s AND id = ANY(%s)",
        (namespace, list(ids)),
    )
    found = {row[0]: point_of(row) for row in rows}
    return [found[one] for one in dict.fromkeys(ids) if one in found]


def delete(connection: Connection, located: Located, namespace: str, where: Condition) -> int:
    sql, parameters = where
    return connection.exec_driver_sql(
        f"DELETE FROM {located.table} WHERE namespace = %s AND {sql}",
        (namespace, *parameters),
    ).rowcount


def count(connection: Connection, located: Located, namespace: str, where: Condition) -> int:
    sql, parameters = where
    found = connection.exec_driver_sql(
        f"SELECT count(*) FROM {located.table} WHERE namespace = %s AND {sql}",
        (namespace, *parameters),
    )
    return int(found.scalar_one())


def page(
    connection: Connection, located: Located, namespace: str, where: Condition, *, after: int, limit: int
) -> list[tuple[int, Point]]:
    sql, parameters = where
    rows = connection.exec_driver_sql(
        f"SELECT id, metadata::text, text, vector::real[], row FROM {located.table}"
        f" WHERE namespace = %s AND row > %s AND {sql} ORDER BY row LIMIT %s",
        (namespace, after, *parameters, limit),
    )
    return [(row[4], point_of(row)) for row in rows]


def search(connection: Connection, located: Located, query: Query, where: Condition) -> list[Hit]:
    """The nearest by the index; by comparing all when it brought fewer than were asked for."""
    if located.half and not query.is_exact:
        hits = _nearest(connection, located, query, where, by_index=True)
        if len(hits) == query.limit:
            return hits
    return _nearest(connection, located, query, where, by_index=False)


def _nearest(connection: Connection, located: Located, query: Query, where: Condition, *, by_index: bool) -> list[Hit]:
    operator, _ = OPERATORS[located.spec.metric]
    condition, parameters = where
    vector = vector_text(query.vector)
    order, candidates = f"(vector {operator} %s::vector) + 0", query.limit  # an expression that no index has
    if by_index:
        order, candidates = f"(vector::{located.half}) {operator} %s::{located.half}", 2 * query.limit + 20
        _tune(connection, located.spec, query, candidates)
    near = f"SELECT * FROM {located.table} WHERE namespace = %s AND {condition} ORDER BY {order} LIMIT %s"
    rows = connection.exec_driver_sql(
        f"SELECT id, metadata::text, text, {'vector::real[]' if query.with_vectors else 'NULL'},"
        f" vector {operator} %s::vector AS apart FROM ({near}) AS near ORDER BY apart LIMIT %s",
        (vector, query.namespace, *parameters, vector, candidates, query.limit),
    )
    return [hit_of(row, 1 - row[4] if located.spec.metric == "cosine" else -row[4]) for row in rows]


def _tune(connection: Connection, spec: CollectionSpec, query: Query, candidates: int) -> None:
    """For this transaction: how far the index looks, and that it goes on until enough fit."""
    effort = query.effort or spec.effort
    if spec.index.kind == "ivfflat":
        settings = {"ivfflat.probes": str(effort or 10), "ivfflat.iterative_scan": "relaxed_order"}
    else:
        looked_at = min(MOST_EFFORT, max(effort or EFFORT, candidates))
        settings = {"hnsw.ef_search": str(looked_at), "hnsw.iterative_scan": "strict_order"}
    chosen = ", ".join("set_config(%s, %s, true)" for _ in settings)
    values = tuple(part for pair in settings.items() for part in pair)
    connection.exec_driver_sql(f"SELECT {chosen}", values)


def search_text(
    connection: Connection, located: Located, query: TextQuery, words: Sequence[str], where: Condition
) -> list[Hit]:
    """By PostgreSQL's own rank, which counts how often and how near each other the words stand."""
    condition, parameters = where
    asked = " | ".join(f"'{word}'" for word in words)
    rows = connection.exec_driver_sql(
        f"SELECT id, metadata::text, text, {'vector::real[]' if query.with_vectors else 'NULL'},"
        f" ts_rank_cd(words, asked, 1) AS rank FROM {located.table}, to_tsquery('english', %s) AS asked"
        f" WHERE namespace = %s AND words @@ asked AND {condition} ORDER BY rank DESC LIMIT %s",
        (asked, query.namespace, *parameters, query.limit),
    )
    return [hit_of(row, row[4]) for row in rows]


def namespaces(connection: Connection, located: Located) -> dict[str, int]:
    rows = connection.exec_driver_sql(f"SELECT namespace, count(*) FROM {located.table} GROUP BY namespace")
    return {row[0]: row[1] for row in rows}


def size_bytes(connection: Connection, located: Located) -> int:
    return int(connection.exec_driver_sql("SELECT pg_total_relation_size(%s)", (located.table,)).scalar_one())


def vector_text(vector: "Vector[float]") -> str:
    return f"[{','.join(map(repr, vector))}]"


def point_of(row: Any) -> Point:
    return Point(id=row[0], metadata=metadata_of(row[1]), text=row[2], vector=vector_of(row[3]))


def hit_of(row: Any, score: float) -> Hit:
    vector = None if row[3] is None else vector_of(row[3])
    return Hit(id=row[0], score=float(score), metadata=metadata_of(row[1]), text=row[2], vector=vector)


metadata_of: Final = msgspec.json.Decoder(dict[str, str | int | float | bool | tuple[str, ...]]).decode
