"""SQL that is written once for both databases, and the clocks it goes by.

Jobs move several thousand times a second, so their statements go round SQLAlchemy's compiler. They are written with
`:name` parameters and these marks:

    {now}        microseconds UTC: PostgreSQL's clock or, with SQLite, the caller's wall clock
    {steady}     what leases go by: PostgreSQL's clock or, with SQLite, this machine's monotonic clock, which all its
                 processes share and no change of the time moves
    {locked}     passes over rows that another transaction has (SQLite has one writer at a time)
    {lock}       waits for such rows
    {items(x)}   a query for the strings of the JSON array :x, one a row
    {in} {ni}    around a query: whether what stands before is among its rows. PostgreSQL makes an array of them first,
                 which it looks up in an index; a join with rows that it knows nothing of reads the whole table
    {by_id}      behind a state, where ids are given: else PostgreSQL, which thinks that few jobs are in any state,
                 looks through all that are in this one
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from undercroft.clock import Clock
from undercroft.storage.plain import conclude, execute, execute_later


class Moment(msgspec.Struct, frozen=True):
    """The caller's clocks, for a store that has none of its own."""

    wall_us: int
    steady_us: int


def moment_of(clock: Clock) -> Moment:
    return Moment(clock.now_us(), round(clock.monotonic() * 1_000_000))


# One moment for a whole statement: `clock_timestamp()` moves on while it runs.
_SERVER_NOW: Final = "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint)"
_MARKS: Final[Mapping[str, Mapping[str, str]]] = {
    "sqlite": {
        "now": ":wall_us",
        "steady": ":steady_us",
        "locked": "",
        "lock": "",
        "in": "IN (",
        "ni": ")",
        "by_id": "",
    },
    "postgresql": {
        "by_id": " || ''",
        "in": "= ANY (ARRAY(",
        "ni": "))",
        "now": _SERVER_NOW,
        "steady": _SERVER_NOW,
        "locked": "FOR UPDATE SKIP LOCKED",
        "lock": "FOR UPDATE",
    },
}
_MARK: Final = re.compile(r"\{(\w+)(?:\((\w+)\))?\}")
_NAME: Final = re.compile(r":(\w+)")


def run(connection: Connection, statement: str, moment: Moment, **values: Any) -> list[tuple[Any, ...]]:
    """Executes a statement of ours; its rows, where it returns any."""
    return execute(connection, _text(connection.dialect.name, statement), _with_time(values, moment))


def run_last(connection: Connection, statement: str, moment: Moment, **values: Any) -> list[tuple[Any, ...]]:
    """The same for a transaction's last: nothing may follow."""
    return conclude(connection, _text(connection.dialect.name, statement), _with_time(values, moment))


def _with_time(values: dict[str, Any], moment: Moment) -> dict[str, Any]:
    values["wall_us"], values["steady_us"] = moment.wall_us, moment.steady_us
    return values


def relax(connection: Connection) -> None:
    """For a transaction that only claims, or prolongs claims: it need not be on disk when it is over.

    A crash of the database may take it back; then the job is queued again, and its run's token counts for nothing.
    """
    if connection.dialect.name == "postgresql":
        execute_later(connection, "SET LOCAL synchronous_commit = off", {})


@lru_cache(maxsize=256)
def _text(dialect: str, statement: str) -> str:
    def mark(found: re.Match[str]) -> str:
        name, argument = found.groups()
        if name != "items":
            return _MARKS[dialect][name]
        if dialect == "sqlite":
            return f"SELECT value FROM json_each(:{argument})"
        return f"SELECT jsonb_array_elements_text(CAST(:{argument} AS jsonb))"

    text = _MARK.sub(mark, statement)
    return text if dialect == "sqlite" else _NAME.sub(r"%(\1)s", text)


def array(values: Sequence[str]) -> str:
    """For {items()}."""
    return msgspec.json.encode(values).decode()
