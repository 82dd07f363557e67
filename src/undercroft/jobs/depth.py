"""How full the queues are."""

from typing import Final

import msgspec
from sqlalchemy import Connection, func, select, text

from undercroft.storage.schema import jobs

WAITING: Final = ("queued", "delayed", "held", "running", "dead")
"""States that are few: each has an index of its own, so this is cheap however many jobs have ended."""


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of one queue in one state."""

    queue: str
    state: str
    jobs: int
    oldest_us: int
    """When the first of them could have run."""


def depths(connection: Connection) -> list[Depth]:
    """Of all organisations: queues are the installation's."""
    found = []
    for state in WAITING:
        ended = " AND finished_us > 0" if state == "dead" else ""
        query = (
            select(jobs.c.queue, func.count().label("jobs"), func.min(jobs.c.run_at_us).label("oldest_us"))
            .where(text(f"state = '{state}'{ended}"))  # written out: a partial index is not found by a parameter
            .group_by(jobs.c.queue)
        )
        found += [Depth(state=state, **row) for row in connection.execute(query).mappings()]
    return found
