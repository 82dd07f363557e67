"""How runs come out, written where it counts: by the token of the claim, with everything that follows from it, in one
transaction. Every function is a work for `Database.write`.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection

from undercroft.jobs.claims import is_limited, release_held
from undercroft.jobs.effects import Effects, reached
from undercroft.jobs.lifecycle import after_run
from undercroft.jobs.links import abandon_dependents, release_dependents
from undercroft.jobs.rows import COLUMNS, error_of, job_of, jobs_of
from undercroft.jobs.statements import Moment, array, run
from undercroft.jobs.types import Job, Lost, Outcome, Succeeded


class Ended(msgspec.Struct, frozen=True):
    """A run that has come out."""

    job: Job
    """As it was claimed."""
    outcome: Outcome
    jitter: float = 0.5
    """Uniform in [0, 1): spreads what is run again."""


class Settled(msgspec.Struct, frozen=True):
    """What became of runs that ended."""

    jobs: list[Job]
    """As they are now. Those that are missing were no longer the run's: nothing of them was changed."""
    freed: list[Job]
    """Others that may be run because of it."""


def settle(connection: Connection, ended: Sequence[Ended], *, moment: Moment, effects: Effects) -> Settled:
    """Records how runs came out. A run whose token is not the job's any more changes nothing."""
    done: list[Job] = []
    freed: list[Job] = []
    if succeeded := [each for each in ended if isinstance(each.outcome, Succeeded)]:
        won = _succeed(connection, succeeded, moment)
        if won:
            effects.append(connection, [reached(job) for job in won])
        for job in won:
            if job.awaited:
                freed += release_dependents(connection, job, moment=moment)
        done += won
    for each in ended:
        if not isinstance(each.outcome, Succeeded):
            rows = run(connection, _MINE, moment, organisation=each.job.organisation, id=each.job.id)
            if rows and (job := job_of(rows[0][:-1])).token == each.job.token and job.state == "running":
                done.append(_move(connection, job, each.outcome, each.jitter, rows[0][-1], moment, effects))
    for job in done:
        if is_limited(job.lane):
            freed += release_held(connection, job, moment=moment)
    return Settled(done, freed)


def expired(connection: Connection, *, moment: Moment, limit: int = 500) -> list[Job]:
    """Running jobs whose lease has run out."""
    return jobs_of(run(connection, _EXPIRED, moment, limit=limit))


def running_workers(connection: Connection, *, moment: Moment) -> list[str]:
    """The workers that running jobs name."""
    return [worker for (worker,) in run(connection, _WORKERS, moment)]


def running_of(connection: Connection, *, worker: str, moment: Moment) -> list[Job]:
    """What a worker's name stands on."""
    return jobs_of(run(connection, _RUNNING_OF, moment, worker=worker))


def reap(connection: Connection, *, moment: Moment, effects: Effects, limit: int = 500) -> Settled:
    """Gives up the runs whose lease has run out: their jobs are anybody's again, or dead after too many of it."""
    lost = [Ended(job, Lost()) for job in expired(connection, moment=moment, limit=limit)]
    return settle(connection, lost, moment=moment, effects=effects)


def lose(connection: Connection, *, worker: str, moment: Moment, effects: Effects) -> Settled:
    """The same for everything that one worker ran, which is known to be gone."""
    lost = [Ended(job, Lost()) for job in running_of(connection, worker=worker, moment=moment)]
    return settle(connection, lost, moment=moment, effects=effects)


def _succeed(connection: Connection, ended: Sequence[Ended], moment: Moment) -> list[Job]:
    runs = {
        (each.job.organisation, each.job.id): (each.job, each.outcome.result.decode())
        for each in ended
        if isinstance(each.outcome, Succeeded)
    }
    rows = [(*place, job.token, result) for place, (job, result) in runs.items()]
    values = {
        "done": msgspec.json.encode(rows).decode(),
        "organisations": array(sorted({organisation for organisation, _ in runs})),
        "ids": array([named for _, named in runs]),
    }
    return [
        _succeeded(*runs[organisation, named], *now)
        for organisation, named, *now in run(connection, _SUCCEED[connection.dialect.name], moment, **values)
    ]


def _succeeded(
    job: Job, result: str, awaited: bool, cancel_requested: bool, progress: str | None, finished_us: int
) -> Job:
    """The row, from the one that was claimed: nothing else of it changes while it runs, but for the lease."""
    return msgspec.structs.replace(
        job,
        state="succeeded",
        result=result,
        error=None,
        unique_key=None,
        awaited=bool(awaited),
        cancel_requested=bool(cancel_requested),
        progress=progress,
        finished_us=finished_us,
    )


def _move(
    connection: Connection, job: Job, outcome: Outcome, jitter: float, now_us: int, moment: Moment, effects: Effects
) -> Job:
    step = after_run(job, outcome, now_us=now_us, jitter=jitter)
    error = error_of(step.failure)
    _note_attempt(connection, job, type(outcome).__name__.lower(), error, moment)
    named = {"organisation": job.organisation, "id": job.id, "token": job.token}
    values = {"attempts": step.attempts, "crashes": step.crashes, "delay_us": step.delay_us, "ends": int(step.ends)}
    moved = job_of(run(connection, _MOVE, moment, **named, **values, state=step.state, error=error or job.error)[0])
    run(connection, _UNSAY, moment, organisation=job.organisation, id=job.id)
    effects.append(connection, [reached(moved)])
    if step.ends and moved.awaited:
        abandon_dependents(connection, moved, moment=moment, effects=effects)
    return moved


def _note_attempt(connection: Connection, job: Job, outcome: str, error: str | None, moment: Moment) -> None:
    named = {"organisation": job.organisation, "job": job.id, "run": job.runs, "worker": job.worker}
    run(connection, _ATTEMPT, moment, **named, outcome=outcome, error=error, started_us=job.started_us)


_MINE: Final = f"SELECT {COLUMNS}, {{now}} FROM jobs WHERE organisation = :organisation AND id = :id {{lock}}"
_DONE: Final = """
UPDATE jobs SET state = 'succeeded', result = done.result, error = NULL, unique_key = NULL, finished_us = {{now}}
FROM {source} WHERE {narrowed}jobs.organisation = done.organisation AND jobs.id = done.id AND jobs.token = done.token
  AND jobs.state{{by_id}} = 'running' RETURNING jobs.organisation, jobs.id, jobs.awaited, jobs.cancel_requested,
  jobs.progress, jobs.finished_us"""
_SUCCEED: Final = {
    "sqlite": _DONE.format(
        source="""(SELECT json_extract(value, '$[0]') AS organisation, json_extract(value, '$[1]') AS id,
        json_extract(value, '$[2]') AS token, json_extract(value, '$[3]') AS result
      FROM json_each(:done)) AS done""",
        narrowed="",
    ),
    "postgresql": _DONE.format(
        source="""(SELECT value ->> 0 AS organisation, value ->> 1 AS id, value ->> 2 AS token, value ->> 3 AS result
      FROM json_array_elements(CAST(:done AS json)) AS each (value)) AS done""",
        narrowed="jobs.organisation {in}{items(organisations)}{ni} AND jobs.id {in}{items(ids)}{ni} AND ",
    ),
}
"""However many, one statement: a round trip for each would cost more than all the rest."""
_MOVE: Final = f"""
UPDATE jobs SET state = :state, attempts = :attempts, crashes = :crashes, error = :error, delivered_us = 0,
  run_at_us = CASE WHEN :state = 'delayed' THEN {{now}} + :delay_us ELSE run_at_us END,
  unique_key = CASE WHEN :ends = 1 THEN NULL ELSE unique_key END,
  finished_us = CASE WHEN :ends = 1 THEN {{now}} ELSE 0 END
WHERE organisation = :organisation AND id = :id AND token = :token AND state = 'running' RETURNING {COLUMNS}"""
_ATTEMPT: Final = """
INSERT INTO job_attempts (organisation, job, run, worker, outcome, error, started_us, ended_us)
VALUES (:organisation, :job, :run, :worker, :outcome, :error, :started_us, {now}) ON CONFLICT DO NOTHING"""
_UNSAY: Final = "DELETE FROM job_outputs WHERE organisation = :organisation AND job = :id"
"""The next run begins anew; what a run that failed has said is no part of a result."""
_EXPIRED: Final = f"""
SELECT {COLUMNS} FROM jobs WHERE state = 'running' AND lease_until_us <= {{steady}}
ORDER BY lease_until_us LIMIT :limit {{locked}}"""
_WORKERS: Final = "SELECT DISTINCT worker FROM jobs WHERE state = 'running'"
_RUNNING_OF: Final = f"SELECT {COLUMNS} FROM jobs WHERE state = 'running' AND worker = :worker"
