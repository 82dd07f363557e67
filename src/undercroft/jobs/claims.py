"""Who runs what: jobs are claimed under a token and a lease, fairly among organisations, within the limits of queues
and lanes. Every function is a work for `Database.write`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from undercroft.jobs.rows import COLUMNS, OF_JOBS, jobs_of
from undercroft.jobs.statements import Moment, array, relax, run
from undercroft.jobs.types import Job, JobSpec
from undercroft.storage.plain import execute

TENANTS: Final = 64
"""Organisations that one claim looks at, in turn."""
ROUNDS: Final = 8
"""How often a claim looks again when all it found had to wait for their lanes."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Who claims, how much, and what it keeps to."""

    worker: str
    token: str
    """Random: even a claim that a crash of the database takes back is never mistaken for a later one."""
    lease_us: int
    queues: tuple[str, ...]
    """Served in turn."""
    limit: int
    queue_limits: Mapping[str, int] = {}
    """Jobs of a queue that may run at once, everywhere; missing: any number."""
    lane_limit: int = 1
    """Jobs of a limited lane that may run at once, everywhere."""
    parked: Mapping[str, int] = {}
    """Lanes that are left alone, each with how many microseconds more."""
    after: str = ""
    """The organisation that was served last: the next ones come first."""


class Candidate(msgspec.Struct, frozen=True):
    """A queued job that might be taken."""

    organisation: str
    id: str
    queue: str
    lane: str
    rank: int
    run_at_us: int


def claim(connection: Connection, asked: Claim, *, moment: Moment) -> list[Job]:
    """Up to `limit` queued jobs, running from now on under the claim's token; those of most urgency first."""
    taken = claim_heads(connection, asked, moment=moment)
    for _ in range(ROUNDS):
        wanted = asked.limit - len(taken)
        if wanted <= 0:
            break
        found, may_be_more = _fairly(connection, asked, moment, wanted)
        fresh, put_away = _within_limits(connection, asked, found, moment)
        taken += _take(connection, asked, fresh, moment)
        if not (put_away or (found and may_be_more)):
            break
    return taken


def claim_heads(connection: Connection, asked: Claim, *, moment: Moment) -> list[Job]:
    """The same in one statement for each organisation, as far as that goes: the first jobs of the one queue that are in
    no limited lane, where the claim itself has no limits. What it leaves, nobody has looked at yet."""
    if not _is_unlimited(asked) or not asked.limit:
        return []
    (queue,) = asked.queues
    tenants = _tenants(connection, queue, asked.after, moment)[: asked.limit]
    taken: list[Job] = []
    for place, organisation in enumerate(tenants):
        share = -(-(asked.limit - len(taken)) // (len(tenants) - place))
        named = {"queue": queue, "organisation": organisation, "limit": share}
        taken += _in_turn(run(connection, _TAKE_HEAD, moment, **named, **_under(asked)))
    return taken


def would_take(connection: Connection, asked: Claim, specs: Sequence[JobSpec], *, moment: Moment) -> bool:
    """Whether a claim right after these plain jobs were taken would find all of them and nothing else, so that they
    may begin as they are taken. Only where the caller's clocks count, as SQLite's do."""
    if connection.dialect.name != "sqlite" or not _is_unlimited(asked) or len(specs) > asked.limit:
        return False
    (queue,) = asked.queues
    if any(spec.queue != queue or spec.run_at_us > moment.wall_us or is_limited(spec.lane) for spec in specs):
        return False
    return not run(connection, _ANY, moment, queue=queue)


def begin(job: Job, asked: Claim, *, moment: Moment) -> Job:
    """A queued job that nobody has claimed yet, as a claim at that moment leaves it."""
    return msgspec.structs.replace(
        job,
        state="running",
        token=asked.token,
        worker=asked.worker,
        runs=job.runs + 1,
        lease_until_us=moment.steady_us + asked.lease_us,
        started_us=moment.wall_us,
    )


def _is_unlimited(asked: Claim) -> bool:
    return len(asked.queues) == 1 and not asked.queue_limits and not asked.parked


def claim_named(connection: Connection, asked: Claim, ids: Sequence[tuple[str, str]], *, moment: Moment) -> list[Job]:
    """The same for jobs that were delivered, by organisation and id: those of them that are still to be run."""
    taken: list[Job] = []
    candidates: list[Candidate] = []
    for organisation in sorted({organisation for organisation, _ in ids}):
        wanted = [named for tenant, named in ids if tenant == organisation]
        if not asked.parked and not asked.queue_limits:  # most are limited by nothing, and taken in one statement
            free = _in_turn(
                run(connection, _TAKE_NAMED, moment, organisation=organisation, ids=array(wanted), **_under(asked))
            )
            taken += free
            if len(free) == len(wanted):
                continue
        candidates += _candidates(run(connection, _NAMED, moment, organisation=organisation, ids=array(wanted)))
    fresh, _ = _within_limits(connection, asked, candidates, moment)
    return taken + _take(connection, asked, fresh, moment)


def renew(connection: Connection, *, worker: str, lease_us: int, moment: Moment) -> dict[tuple[str, str], bool]:
    """Prolongs the lease on everything the worker runs: by id and token, whether it was asked to stop.

    What is missing is the worker's no longer: somebody else has it, or it has ended.
    """
    relax(connection)
    rows = run(connection, _RENEW, moment, worker=worker, lease_us=lease_us)
    return {(named, token): bool(cancel_requested) for named, token, cancel_requested in rows}


def promote(connection: Connection, *, moment: Moment, limit: int = 1000) -> list[Job]:
    """Jobs whose time has come, queued from now on."""
    return jobs_of(run(connection, _PROMOTE, moment, limit=limit))


def next_due_us(connection: Connection, *, moment: Moment) -> int | None:
    """How long until the next delayed job's time; None when there is none."""
    ((due_us,),) = run(connection, "SELECT min(run_at_us) - {now} FROM jobs WHERE state = 'delayed'", moment)
    return None if due_us is None else max(0, due_us)


def release_held(connection: Connection, job: Job, *, moment: Moment) -> list[Job]:
    """Lets the first of those that are held in the job's lane have a turn, now that `job` leaves it."""
    return jobs_of(run(connection, _RELEASE_HELD, moment, organisation=job.organisation, lane=job.lane))


def _fairly(connection: Connection, asked: Claim, moment: Moment, wanted: int) -> tuple[list[Candidate], bool]:
    """Some of the most urgent jobs of each organisation that has any, one by one around the table; whether some
    organisation may have more of them."""
    by_tenant: dict[str, list[Candidate]] = {}
    may_be_more = False
    for queue in _with_room(connection, asked, moment):
        tenants = _tenants(connection, queue, asked.after, moment)
        share = -(-wanted // max(1, min(len(tenants), wanted)))
        for organisation in tenants[:wanted]:
            rows = run(connection, _HEAD, moment, queue=queue, organisation=organisation, limit=share)
            by_tenant.setdefault(organisation, []).extend(_candidates(rows))
            may_be_more = may_be_more or len(rows) == share
    return list(_dealt(by_tenant, wanted, after=asked.after)), may_be_more


def _dealt(by_tenant: Mapping[str, list[Candidate]], wanted: int, *, after: str) -> Iterator[Candidate]:
    hands = {name: sorted(jobs, key=lambda job: (job.rank, job.run_at_us)) for name, jobs in by_tenant.items()}
    order = sorted(hands, key=lambda name: (name <= after, name))
    while wanted > 0 and any(hands.values()):
        for name in order:
            if hands[name] and wanted > 0:
                wanted -= 1
                yield hands[name].pop(0)


def _tenants(connection: Connection, queue: str, after: str, moment: Moment) -> list[str]:
    """Organisations with something in the queue, from the one behind `after` on and round."""
    found = [name for (name,) in run(connection, _TENANTS, moment, queue=queue, after="", limit=TENANTS)]
    if len(found) == TENANTS and after:  # there are more than one look finds
        rest = [name for name in found if name <= after]
        found = [name for (name,) in run(connection, _TENANTS, moment, queue=queue, after=after, limit=TENANTS)]
        return [*found, *rest[: TENANTS - len(found)]]
    return sorted(found, key=lambda name: (name <= after, name))


def _with_room(connection: Connection, asked: Claim, moment: Moment) -> list[str]:
    """The queues of which more may run. Claimants of a limited queue take turns, so that it is exact."""
    queues = []
    for queue in asked.queues:
        limit = asked.queue_limits.get(queue)
        if limit is not None:
            _take_turn(connection, f"queue {queue}")
            if run(connection, _RUNNING_IN_QUEUE, moment, queue=queue)[0][0] >= limit:
                continue
        queues.append(queue)
    return queues


def _within_limits(
    connection: Connection, asked: Claim, found: Sequence[Candidate], moment: Moment
) -> tuple[list[Candidate], int]:
    """Those that may run now, and how many had to be put where they stand in nobody's way: held, or delayed."""
    room: dict[str, int] = {}
    lanes: dict[tuple[str, str], int] = {}
    fresh: list[Candidate] = []
    put_away = 0
    for each in found:
        named = {"organisation": each.organisation, "id": each.id}
        if (rest_us := asked.parked.get(each.lane)) is not None:
            run(connection, _PARK, moment, **named, rest_us=rest_us)
            put_away += 1
            continue
        limit = asked.queue_limits.get(each.queue)
        if limit is not None:
            if each.queue not in room:
                _take_turn(connection, f"queue {each.queue}")
                room[each.queue] = limit - run(connection, _RUNNING_IN_QUEUE, moment, queue=each.queue)[0][0]
            if room[each.queue] <= 0:
                continue
        if is_limited(each.lane):
            place = (each.organisation, each.lane)
            _take_turn(connection, f"lane {place}")
            running = run(connection, _RUNNING_IN_LANE, moment, organisation=each.organisation, lane=each.lane)[0][0]
            if running + lanes.get(place, 0) >= asked.lane_limit:
                run(connection, _HOLD, moment, **named)
                put_away += 1
                continue
            lanes[place] = lanes.get(place, 0) + 1
        if each.queue in room:
            room[each.queue] -= 1
        fresh.append(each)
    return fresh, put_away


KEY_LANE: Final = "key:"
"""How the lane of those begins that share a concurrency key; other lanes are parked together, but not limited."""


def is_limited(lane: str) -> bool:
    return lane.startswith(KEY_LANE)


def _take(connection: Connection, asked: Claim, chosen: Sequence[Candidate], moment: Moment) -> list[Job]:
    taken: list[Job] = []
    for organisation in dict.fromkeys(each.organisation for each in chosen):
        ids = array([each.id for each in chosen if each.organisation == organisation])
        taken += jobs_of(run(connection, _TAKE, moment, organisation=organisation, ids=ids, **_under(asked)))
    place = {(each.organisation, each.id): at for at, each in enumerate(chosen)}
    return sorted(taken, key=lambda job: place[job.organisation, job.id])


def _under(asked: Claim) -> dict[str, Any]:
    return {"token": asked.token, "worker": asked.worker, "lease_us": asked.lease_us}


def _in_turn(rows: Sequence[tuple[Any, ...]]) -> list[Job]:
    return sorted(jobs_of(rows), key=lambda job: (job.rank, job.run_at_us))


def _take_turn(connection: Connection, name: str) -> None:
    """Until the transaction's end. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        execute(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))", {"name": name})


def _candidates(rows: Sequence[tuple[Any, ...]]) -> list[Candidate]:
    return [Candidate(*row) for row in rows]


_CANDIDATE: Final = "organisation, id, queue, lane, rank, run_at_us"
_TENANTS: Final = """
WITH RECURSIVE tenants (organisation) AS (
  SELECT (SELECT organisation FROM jobs WHERE state = 'queued' AND queue = :queue AND organisation > :after
          ORDER BY organisation LIMIT 1)
  UNION ALL
  SELECT (SELECT organisation FROM jobs WHERE state = 'queued' AND queue = :queue
          AND organisation > tenants.organisation ORDER BY organisation LIMIT 1)
  FROM tenants WHERE tenants.organisation IS NOT NULL
)
SELECT organisation FROM tenants WHERE organisation IS NOT NULL LIMIT :limit"""
"""From one organisation to the next by the index: what it costs does not depend on how many jobs each has."""
_ANY: Final = "SELECT 1 FROM jobs WHERE state = 'queued' AND queue = :queue LIMIT 1"
_HEAD: Final = f"""
SELECT {_CANDIDATE} FROM jobs WHERE state = 'queued' AND queue = :queue AND organisation = :organisation
ORDER BY rank, run_at_us LIMIT :limit {{locked}}"""
_NAMED: Final = f"""
SELECT {_CANDIDATE} FROM jobs
WHERE organisation = :organisation AND id {{in}}{{items(ids)}}{{ni}} AND state{{by_id}} = 'queued'
ORDER BY rank, run_at_us {{locked}}"""
_RUN: Final = """
UPDATE jobs SET state = 'running', token = :token, worker = :worker, runs = runs + 1, progress = NULL,
  lease_until_us = {steady} + :lease_us, started_us = {now}"""
_TAKE: Final = f"""{_RUN}
WHERE organisation = :organisation AND id {{in}}{{items(ids)}}{{ni}} AND state{{by_id}} = 'queued'
RETURNING {COLUMNS}"""
_FREE: Final = f"AND state{{by_id}} = 'queued' AND substr(lane, 1, {len(KEY_LANE)}) <> '{KEY_LANE}'"
"""In no limited lane."""
_TAKE_NAMED: Final = f"""{_RUN}
WHERE organisation = :organisation AND id {{in}}
  SELECT id FROM jobs WHERE organisation = :organisation AND id {{in}}{{items(ids)}}{{ni}} {_FREE}
  ORDER BY id {{locked}}
{{ni}} {_FREE} RETURNING {COLUMNS}"""
_TAKE_HEAD: Final = f"""{_RUN}
WHERE organisation = :organisation AND id {{in}}
  SELECT id FROM jobs WHERE state = 'queued' AND queue = :queue AND organisation = :organisation
  ORDER BY rank, run_at_us LIMIT :limit {{locked}}
{{ni}} {_FREE} RETURNING {COLUMNS}"""
_RUNNING_IN_QUEUE: Final = "SELECT count(*) FROM jobs WHERE state = 'running' AND queue = :queue"
_RUNNING_IN_LANE: Final = """
SELECT count(*) FROM jobs WHERE state = 'running' AND organisation = :organisation AND lane = :lane"""
_HOLD: Final = """
UPDATE jobs SET state = 'held' WHERE organisation = :organisation AND id = :id AND state = 'queued'"""
_PARK: Final = """
UPDATE jobs SET state = 'delayed', run_at_us = {now} + :rest_us
WHERE organisation = :organisation AND id = :id AND state = 'queued'"""
_RENEW: Final = """
UPDATE jobs SET lease_until_us = {steady} + :lease_us WHERE worker = :worker AND state = 'running'
RETURNING id, token, cancel_requested"""
_PROMOTE: Final = f"""
UPDATE jobs SET state = 'queued', delivered_us = 0 FROM (
  SELECT organisation AS tenant, id AS due FROM jobs WHERE state = 'delayed' AND run_at_us <= {{now}}
  ORDER BY run_at_us LIMIT :limit {{locked}}
) AS ripe WHERE organisation = tenant AND id = due AND state = 'delayed' RETURNING {OF_JOBS}"""
_RELEASE_HELD: Final = f"""
UPDATE jobs SET state = 'queued', delivered_us = 0 WHERE organisation = :organisation AND state = 'held' AND id = (
  SELECT id FROM jobs WHERE organisation = :organisation AND lane = :lane AND state = 'held'
  ORDER BY rank, run_at_us LIMIT 1
) RETURNING {COLUMNS}"""
