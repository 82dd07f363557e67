"""Jobs in the database: handed in, looked up, cancelled, retried, forgotten. Every function is a work for `write`
(`find`, `page`, `attempts` and `pieces_after` also for `read`).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection

from undercroft.errors import Conflict, InvalidRequest
from undercroft.jobs import lifecycle
from undercroft.jobs.claims import Claim, begin, is_limited, release_held
from undercroft.jobs.effects import Effects, reached
from undercroft.jobs.links import abandon_dependents
from undercroft.jobs.rows import COLUMNS, GIVEN, NAMES, NUMBERS, error_of, job_of, jobs_of, new_job, values_of
from undercroft.jobs.statements import Moment, array, run, run_last
from undercroft.jobs.types import Accepted, Attempt, Job, JobSpec, Saying, Status
from undercroft.storage.bulk import insert_values

SWEPT: Final = 500
"""Jobs that one sweep deletes, so that it holds nobody up for long."""


def accept(connection: Connection, spec: JobSpec, *, moment: Moment, effects: Effects) -> Accepted:
    """Takes a job. Returns the one there is when its idempotency key or its unique key is known.

    Raises Conflict for an idempotency key that came with another request, and InvalidRequest for parents that are not
    there or will never succeed.
    """
    while True:
        # Parents first, and in one order, so that no two acceptances wait for each other.
        missing = _await(connection, spec, moment) if spec.after else []
        rows = run(connection, _ACCEPT, moment, **values_of(spec), missing=len(missing))
        if rows:
            job = job_of(rows[0])
            for parent in missing:
                named = {"organisation": job.organisation, "parent": parent, "job": job.id}
                run(connection, "INSERT INTO job_links VALUES (:organisation, :parent, :job)", moment, **named)
            effects.append(connection, [reached(job)])
            return Accepted(job)
        known = _known(connection, spec, moment)
        if known is not None:
            return known


def is_plain(spec: JobSpec) -> bool:
    """Whether it can meet no other job: it waits for none, and has no key that another may have."""
    return not spec.after and spec.idempotency_key is None and spec.unique_key is None


def accept_plain(
    connection: Connection, specs: Sequence[JobSpec], *, moment: Moment, effects: Effects, is_last: bool = False
) -> list[Job]:
    """Takes jobs that are plain, in one statement: as many as there are specs, in their order. `is_last`: nothing else
    is done in the transaction."""
    jobs = [new_job(spec, moment.wall_us) for spec in specs]
    effects.append(connection, [reached(job) for job in jobs])  # which tells nothing of the server's clock
    if connection.dialect.name == "sqlite":
        insert_values(connection, "jobs", NAMES, [msgspec.structs.astuple(job) for job in jobs])
        return jobs
    given = msgspec.json.encode([values_of(spec) for spec in specs]).decode()
    rows = (run_last if is_last else run)(connection, _ACCEPT_ALL, moment, given=given)
    return [new_job(spec, rows[0][0]) for spec in specs]


def accept_claimed(
    connection: Connection, specs: Sequence[JobSpec], asked: Claim, *, moment: Moment, effects: Effects
) -> tuple[list[Job], list[Job]]:
    """Takes jobs that are plain and that a claim in the same transaction would find, all of them and nothing else
    (`claims.would_take`); as they were taken and, running, as they are. By the caller's clocks, which SQLite has."""
    taken = [new_job(spec, moment.wall_us) for spec in specs]
    begun = [begin(job, asked, moment=moment) for job in taken]
    insert_values(connection, "jobs", NAMES, [msgspec.structs.astuple(job) for job in begun])
    effects.append(connection, [reached(job) for job in (*taken, *begun)])
    return taken, begun


def accept_all(connection: Connection, specs: Sequence[JobSpec], *, moment: Moment, effects: Effects) -> list[Job]:
    """Takes jobs of any kind, in their order. Raises what `accept` does."""
    if specs and all(map(is_plain, specs)):
        return accept_plain(connection, specs, moment=moment, effects=effects)
    return [accept(connection, spec, moment=moment, effects=effects).job for spec in specs]


def _known(connection: Connection, spec: JobSpec, moment: Moment) -> Accepted | None:
    """What stood in the way of an insert; None when it has gone since."""
    organisation = spec.who.organisation
    if spec.idempotency_key is not None:
        rows = run(connection, _BY_IDEMPOTENCY, moment, organisation=organisation, value=spec.idempotency_key)
        if rows:
            job = job_of(rows[0])
            if job.fingerprint != spec.fingerprint:
                raise Conflict(
                    f"The idempotency key was used for another request, which made job '{job.id}'.",
                    code="idempotency_conflict",
                    param="idempotency_key",
                    hint="Use a new key for each request that differs.",
                )
            return Accepted(job, "replayed")
    elif spec.unique_key is None:
        raise Conflict(f"There is a job '{spec.id}' already.")
    rows = run(connection, _BY_UNIQUE, moment, organisation=organisation, value=spec.unique_key)
    return Accepted(job_of(rows[0]), "duplicate") if rows else None


def _await(connection: Connection, spec: JobSpec, moment: Moment) -> list[str]:
    """Marks the parents as awaited: those that have not succeeded yet."""
    missing = []
    for parent in sorted(set(spec.after)):
        rows = run(connection, _AWAIT, moment, organisation=spec.who.organisation, id=parent)
        if not rows:
            raise InvalidRequest(f"There is no job '{parent}' to wait for.", param="after", code="unknown_job")
        ((state,),) = rows
        if state in ("dead", "cancelled"):
            raise InvalidRequest(
                f"Job '{parent}' is {state}: what waits for it would never run.", param="after", code="parent_failed"
            )
        if state != "succeeded":
            missing.append(parent)
    return missing


def find(connection: Connection, *, organisation: str, id: str) -> Job | None:
    """None for one that is not there or is another organisation's."""
    rows = run(connection, _FIND, _NO_TIME, organisation=organisation, id=id)
    return job_of(rows[0]) if rows else None


def find_idempotent(connection: Connection, *, organisation: str, key: str) -> Job | None:
    """The job that was handed in with this idempotency key."""
    rows = run(connection, _BY_IDEMPOTENCY, _NO_TIME, organisation=organisation, value=key)
    return job_of(rows[0]) if rows else None


def page(
    connection: Connection,
    *,
    organisation: str,
    status: Status | None = None,
    kind: str | None = None,
    queue: str | None = None,
    before: str = "",
    limit: int = 20,
) -> list[Job]:
    """The latest first. `before` is the last id of the page before."""
    asked = {"organisation": organisation, "kind": kind, "queue": queue, "before": before, "limit": limit}
    named = [name for name in ("kind", "queue", "before") if asked[name]]
    conditions = [_NARROWED[name] for name in named] + ([_OF_STATUS[status]] if status else [])
    where = " AND ".join(["organisation = :organisation", *conditions])
    statement = f"SELECT {COLUMNS} FROM jobs WHERE {where} ORDER BY id DESC LIMIT :limit"
    return jobs_of(run(connection, statement, _NO_TIME, **asked))


def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many jobs there are that have not ended, by queue and state, of all organisations."""
    return {(queue, state): number for queue, state, number in run(connection, _COUNTS, _NO_TIME)}


def attempts(connection: Connection, *, organisation: str, id: str) -> list[Attempt]:
    """The runs that did not succeed, the first first."""
    rows = run(connection, _ATTEMPTS, _NO_TIME, organisation=organisation, id=id)
    return [Attempt(*row) for row in rows]


def ask_cancel(connection: Connection, *, organisation: str, id: str, moment: Moment, effects: Effects) -> Job | None:
    """Cancels a job: at once while it waits; one that runs is asked to stop, and one that has ended stays as it is.

    None when there is no such job.
    """
    error = error_of(lifecycle.CANCELLED)
    rows = run(connection, _CANCEL_PENDING, moment, organisation=organisation, id=id, error=error)
    if rows:
        job = job_of(rows[0])
        effects.append(connection, [reached(job)])
        if job.awaited:
            abandon_dependents(connection, job, moment=moment, effects=effects)
        if is_limited(job.lane):
            release_held(connection, job, moment=moment)
        return job
    run(connection, _ASK_RUNNING, moment, organisation=organisation, id=id)
    return find(connection, organisation=organisation, id=id)


def retry(connection: Connection, *, organisation: str, id: str, moment: Moment, effects: Effects) -> Job | None:
    """Runs a job that is dead or cancelled from the beginning, with all its attempts and as much time as it had.

    None when there is no such job; raises Conflict for one in another state.
    """
    job = find(connection, organisation=organisation, id=id)
    if job is None:
        return None
    lifecycle.retried(job)
    rows = run(connection, _RETRY, moment, organisation=organisation, id=id)
    if not rows:
        raise Conflict(f"Job '{id}' is being retried already.", code="job_not_ended")
    job = job_of(rows[0])
    effects.append(connection, [reached(job)])
    return job


def note_saying(connection: Connection, saying: Saying) -> None:
    """Keeps what a running job said, if it is still the run's to say."""
    job = saying.job
    named = {"organisation": job.organisation, "id": job.id, "token": job.token}
    if not run(connection, _PROGRESS, _NO_TIME, **named, progress=saying.progress):
        return
    if saying.pieces:
        last = saying.first + len(saying.pieces) - 1
        values = {"first": saying.first, "last": last, "pieces": array(saying.pieces)}
        run(connection, _OUTPUT, _NO_TIME, organisation=job.organisation, id=job.id, **values)


def pieces_after(connection: Connection, *, organisation: str, id: str, after: int) -> list[tuple[int, str]]:
    """The pieces of a job's output with a number past `after`, each with it."""
    rows = run(connection, _PIECES, _NO_TIME, organisation=organisation, id=id, after=after)
    numbered = [each for first, pieces in rows for each in enumerate(_pieces.decode(pieces), start=first)]
    return [(number, piece) for number, piece in numbered if number > after]


def forget(connection: Connection, *, moment: Moment, keep_us: int, keep_dead_us: int) -> int:
    """Deletes some of the jobs that ended longer ago than they are kept, of all organisations; 0: none was left."""
    rows = run(connection, _EXPIRED, moment, keep_us=keep_us, keep_dead_us=keep_dead_us, limit=SWEPT)
    for organisation, expired in rows:
        named = {"organisation": organisation, "id": expired}
        for statement in _FORGET:
            run(connection, statement, moment, **named)
    return len(rows)


_NO_TIME: Final = Moment(0, 0)
"""For statements that do not ask what time it is."""
_pieces = msgspec.json.Decoder(list[str])
_ONE: Final = "organisation = :organisation AND id = :id"
_ROW: Final = """
  {organisation}, {id}, {team}, {user_id}, {key}, {kind}, {queue}, {rank}, {lane},
  CASE WHEN {missing} > 0 THEN 'blocked' WHEN {run_at_us} > [now] THEN 'delayed' ELSE 'queued' END,
  {input}, '', '', 0, 0, 0, {max_attempts}, {missing}, FALSE, FALSE,
  CASE WHEN {run_at_us} > [now] THEN {run_at_us} ELSE [now] END, {lifetime_us},
  CASE WHEN {run_at_us} > [now] THEN {run_at_us} ELSE [now] END + {lifetime_us},
  {soft_timeout_us}, {timeout_us}, 0, 0, {idempotency_key}, {fingerprint}, {unique_key}, {webhook}, {schedule}, {trace},
  NULL, NULL, NULL, [now], 0, 0"""
"""A new job's row, from what `values_of` says of it."""


def _row(marks: Mapping[str, str]) -> str:
    return _ROW.format_map(marks).replace("[now]", "{now}")


_ACCEPT: Final = f"""
INSERT INTO jobs ({COLUMNS}) VALUES ({_row({name: f":{name}" for name in (*GIVEN, "missing")})})
ON CONFLICT DO NOTHING RETURNING {COLUMNS}"""
_GIVEN: Final = ", ".join(f"{name} {'bigint' if name in NUMBERS else 'text'}" for name in GIVEN)
_ACCEPT_ALL: Final = f"""
INSERT INTO jobs ({COLUMNS}) SELECT {_row({**{name: f"given.{name}" for name in GIVEN}, "missing": "0"})}
FROM json_to_recordset(CAST(:given AS json)) AS given ({_GIVEN}) RETURNING created_us"""
"""However many, one statement, and the server's clock. (SQLite's rows go by the caller's: they are made here.)"""
_BY_IDEMPOTENCY: Final = f"SELECT {COLUMNS} FROM jobs WHERE organisation = :organisation AND idempotency_key = :value"
_BY_UNIQUE: Final = f"SELECT {COLUMNS} FROM jobs WHERE organisation = :organisation AND unique_key = :value"
_AWAIT: Final = f"UPDATE jobs SET awaited = TRUE WHERE {_ONE} RETURNING state"
_FIND: Final = f"SELECT {COLUMNS} FROM jobs WHERE {_ONE}"
_NARROWED: Final = {"kind": "kind = :kind", "queue": "queue = :queue", "before": "id < :before"}
_OF_STATUS: Final = {
    "queued": "state IN ('blocked', 'delayed', 'held', 'queued') AND error IS NULL",
    "waiting": "state IN ('blocked', 'delayed', 'held', 'queued') AND error IS NOT NULL",
    "running": "state = 'running'",
    "succeeded": "state = 'succeeded'",
    "dead": "state = 'dead'",
    "cancelled": "state = 'cancelled'",
}
_COUNTS: Final = """
SELECT queue, state, count(*) FROM jobs
WHERE state IN ('blocked', 'delayed', 'held', 'queued', 'running') GROUP BY queue, state"""
_ATTEMPTS: Final = """
SELECT run, worker, outcome, error, started_us, ended_us FROM job_attempts
WHERE organisation = :organisation AND job = :id ORDER BY run"""
_CANCEL_PENDING: Final = f"""
UPDATE jobs SET state = 'cancelled', error = :error, unique_key = NULL, finished_us = {{now}}
WHERE {_ONE} AND state IN ('blocked', 'delayed', 'held', 'queued') RETURNING {COLUMNS}"""
_ASK_RUNNING: Final = f"UPDATE jobs SET cancel_requested = TRUE WHERE {_ONE} AND state = 'running'"
_RETRY: Final = f"""
UPDATE jobs SET state = 'queued', attempts = 0, crashes = 0, missing = 0, cancel_requested = FALSE, error = NULL,
  progress = NULL, run_at_us = {{now}}, deadline_us = {{now}} + lifetime_us, delivered_us = 0, finished_us = 0
WHERE {_ONE} AND state IN ('dead', 'cancelled') RETURNING {COLUMNS}"""
_PROGRESS: Final = f"""
UPDATE jobs SET progress = COALESCE(:progress, progress)
WHERE {_ONE} AND token = :token AND state = 'running' RETURNING id"""
_OUTPUT: Final = """
INSERT INTO job_outputs (organisation, job, first, last, pieces) VALUES (:organisation, :id, :first, :last, :pieces)
ON CONFLICT DO NOTHING"""
_PIECES: Final = """
SELECT first, pieces FROM job_outputs WHERE organisation = :organisation AND job = :id AND last > :after
ORDER BY first"""
_EXPIRED: Final = """
SELECT organisation, id FROM jobs WHERE finished_us > 0 AND (
  (state IN ('succeeded', 'cancelled') AND finished_us <= {now} - :keep_us)
  OR (state = 'dead' AND finished_us <= {now} - :keep_dead_us)
) LIMIT :limit"""
_FORGET: Final = (
    "DELETE FROM job_outputs WHERE organisation = :organisation AND job = :id",
    "DELETE FROM job_attempts WHERE organisation = :organisation AND job = :id",
    "DELETE FROM job_links WHERE organisation = :organisation AND parent = :id",
    "DELETE FROM jobs WHERE organisation = :organisation AND id = :id",
)
