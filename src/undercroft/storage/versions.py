"""Counters that tell a process when what it holds in memory has changed: bumped with the change, polled by all."""

from sqlalchemy import Connection, select

from undercroft.storage.schema import insert, versions


def bump(connection: Connection, name: str) -> None:
    """Counts `name` up, in the transaction that makes the change, so that nobody sees one without the other."""
    fresh = insert(connection, versions).values(name=name, counter=1)
    connection.execute(
        fresh.on_conflict_do_update(index_elements=["name"], set_={"counter": versions.c.counter + 1}),
    )


def current(connection: Connection) -> dict[str, int]:
    """Every counter; a name that was never bumped is missing and counts as 0."""
    return {row.name: row.counter for row in connection.execute(select(versions))}
