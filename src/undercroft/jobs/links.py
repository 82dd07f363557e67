"""Jobs that wait for others: let go when the last of those has succeeded, given up when one has not."""

from typing import Final

from sqlalchemy import Connection

from undercroft.jobs import lifecycle
from undercroft.jobs.effects import Effects, reached
from undercroft.jobs.rows import COLUMNS, error_of, jobs_of
from undercroft.jobs.statements import Moment, run
from undercroft.jobs.types import Job


def release_dependents(connection: Connection, parent: Job, *, moment: Moment) -> list[Job]:
    """Those that waited for nothing else, which are `queued` or `delayed` from now on."""
    named = {"organisation": parent.organisation, "parent": parent.id}
    run(connection, _ONE_LESS, moment, **named)
    freed = jobs_of(run(connection, _FREE, moment, **named))
    run(connection, _UNLINK, moment, **named)
    return freed


def abandon_dependents(connection: Connection, parent: Job, *, moment: Moment, effects: Effects) -> None:
    """Whatever waits for a job that has not succeeded is dead, and so is what waits for that."""
    error = error_of(lifecycle.PARENT_FAILED)
    pending = [parent]
    while pending:
        named = {"organisation": parent.organisation, "parent": pending.pop().id}
        given_up = jobs_of(run(connection, _GIVE_UP, moment, **named, error=error))
        run(connection, _UNLINK, moment, **named)
        if given_up:
            effects.append(connection, [reached(job) for job in given_up])
        pending += [job for job in given_up if job.awaited]


_LINKED: Final = """
organisation = :organisation AND state = 'blocked'
  AND id IN (SELECT job FROM job_links WHERE organisation = :organisation AND parent = :parent)"""
_ONE_LESS: Final = f"UPDATE jobs SET missing = missing - 1 WHERE {_LINKED}"
_FREE: Final = f"""
UPDATE jobs SET state = CASE WHEN run_at_us > {{now}} THEN 'delayed' ELSE 'queued' END
WHERE {_LINKED} AND missing <= 0 RETURNING {COLUMNS}"""
_GIVE_UP: Final = f"""
UPDATE jobs SET state = 'dead', error = :error, unique_key = NULL, finished_us = {{now}}
WHERE {_LINKED} RETURNING {COLUMNS}"""
_UNLINK: Final = "DELETE FROM job_links WHERE organisation = :organisation AND parent = :parent"
