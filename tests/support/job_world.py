"""A simulated installation that takes and runs jobs: the real desk, crew, tending and SQL on virtual time, while
processes die, sleep and come back, and the database goes away or loses its answers.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection

from tests.support.simulated_database import SimulatedDatabase, simulated_database
from tests.support.simulation import Killed, SimulatedClock, SimulatedLoop, SimulatedProcess
from undercroft.errors import InvalidRequest, Unavailable, UpstreamGarbled, UpstreamOverloaded
from undercroft.ids import Ids
from undercroft.jobs import repository
from undercroft.jobs.crew import Crew, Terms
from undercroft.jobs.desk import Desk, Wanted
from undercroft.jobs.effects import JobEvent
from undercroft.jobs.handlers import Handlers, JobContext
from undercroft.jobs.queues.inline import Inline
from undercroft.jobs.schedules import Schedules
from undercroft.jobs.statements import Moment, run
from undercroft.jobs.tending import Keep, Tending
from undercroft.jobs.types import ENDED, Job, Limits
from undercroft.record import Who
from undercroft.storage.schema import job_attempts, job_links, job_outputs, jobs, schedules

T = TypeVar("T")

LEASE_S = 5.0
JOBS = 14
BESIDE = 3
"""And of each worker's own."""
FAULTS_S = 25.0
"""How long things go wrong; then everything is given time to come to rest."""
REST_S = 120.0
WORKERS = 2


class Planted:
    """A connection on which some statements say something else: the bug that a run must find."""

    def __init__(self, connection: Connection, bug: Mapping[str, str], hits: Counter[str]) -> None:
        self._connection = connection
        self._bug = bug
        self._hits = hits
        self.info: dict[str, object] = {}
        self.dialect = connection.dialect

    @property
    def connection(self) -> "Planted":
        return self

    def cursor(self) -> "PlantedCursor":
        return PlantedCursor(self._connection.connection.cursor(), self._bug, self._hits)


class PlantedCursor:
    def __init__(self, cursor: Any, bug: Mapping[str, str], hits: Counter[str]) -> None:
        self._cursor = cursor
        self._bug = bug
        self._hits = hits
        self.fetchall, self.close = cursor.fetchall, cursor.close

    @property
    def description(self) -> Any:
        return self._cursor.description

    def execute(self, statement: str, parameters: Any) -> None:
        for right, wrong in self._bug.items():
            self._hits[right] += right in statement
            statement = statement.replace(right, wrong)
        self._cursor.execute(statement, parameters)


class WorldDatabase:
    """The simulated database, with the bug in between."""

    def __init__(self, database: SimulatedDatabase, bug: Mapping[str, str], hits: Counter[str]) -> None:
        self._database = database
        self._bug = bug
        self._hits = hits

    async def read(self, work: Callable[[Connection], T], /) -> T:
        return await self._database.read(self._planted(work))

    async def write(self, work: Callable[[Connection], T], /) -> T:
        return await self._database.write(self._planted(work))

    def _planted(self, work: Callable[[Connection], T]) -> Callable[[Connection], T]:
        if not self._bug:
            return work
        return lambda connection: work(Planted(connection, self._bug, self._hits))  # type: ignore[arg-type]  # as much of one as statements need


@dataclass
class Outcome:
    """What a run saw."""

    accepted: dict[str, str] = field(default_factory=dict)
    """Keys of those who were told 202, and the ids they were told."""
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By name and job."""
    crowded: list[str] = field(default_factory=list)
    """Lanes of which more ran than may."""
    rows: list[Job] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    """Jobs that ran before those they were to wait for had succeeded."""
    runs: int = 0
    fenced: int = 0
    kills: int = 0
    crashes: list[BaseException] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    untold: list[tuple[str, str]] = field(default_factory=list)
    """Of the transaction under way."""

    def append(self, connection: Connection, events: Sequence[JobEvent], /) -> None:
        self.untold += [(event.name, event.job.id) for event in events]

    def settled(self, is_kept: bool) -> None:
        """Events are there exactly when what they tell of is."""
        if is_kept:
            self.events.update(self.untold)
        self.untold.clear()


class Work:
    """A handler that takes its time and fails now and then. Its result says which run made it."""

    kind = "work"
    limits = Limits(max_attempts=100)

    def __init__(self, loop: SimulatedLoop, clock: SimulatedClock, outcome: Outcome) -> None:
        self._rng = loop.rng
        self._clock = clock
        self._outcome = outcome

    def check(self, input: bytes, /) -> str:
        return ""

    async def run(self, job: Job, context: JobContext, /) -> bytes:
        self._outcome.runs += 1
        for parent in msgspec.json.decode(job.input)["after"]:
            if not self._outcome.events["job.succeeded", parent]:
                self._outcome.early.append(job.id)
        await self._clock.sleep(self._rng.uniform(0.01, 3))
        context.output(job.runs)
        if (luck := self._rng.random()) < 0.1:
            raise UpstreamGarbled("odd")
        if luck < 0.2:
            raise UpstreamOverloaded("busy", retry_after_s=self._rng.uniform(0, 2))
        await self._clock.sleep(self._rng.uniform(0.01, 3))
        return f'"{job.token}"'.encode()


class Watching:
    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self.expect: Callable[[int], None] = lambda _: None

    def began(self, job: Job, /) -> None: ...

    def ended(self, job: Job, /) -> None: ...

    def fenced(self, job: Job, /) -> None:
        self._outcome.fenced += 1

    def delayed(self, delay_us: int, /) -> None:
        self.expect(delay_us)


class Living:
    """Knows which simulated workers live, as locked files would tell."""

    def __init__(self) -> None:
        self.gone: set[str] = set()

    def is_gone(self, worker: str, /) -> bool:
        return worker in self.gone

    def forget(self, worker: str, /) -> None: ...


class World:
    def __init__(self, loop: SimulatedLoop, database: SimulatedDatabase, bug: Mapping[str, str]) -> None:
        self.loop, self.rng, self.database = loop, loop.rng, database
        self.clock = SimulatedClock(loop)
        self.ids = Ids(self.clock, entropy=self.rng.randbytes)
        self.outcome = Outcome()
        database.settled = self.outcome.settled
        self.link = WorldDatabase(database, bug, self.outcome.hits)
        self.handlers = Handlers([Work(loop, self.clock, self.outcome)])
        self.owners = Living() if self.rng.random() < 0.5 else None
        self.processes: list[tuple[SimulatedProcess, str]] = []

    def start_worker(self) -> None:
        process, watching = SimulatedProcess(self.loop), Watching(self.outcome)
        worker = self.ids.new("worker_")
        at_once, begins_early = self.rng.randint(1, 4), self.rng.random() < 0.5
        terms = Terms(worker=worker, at_once=at_once, lease_s=LEASE_S, begins_early=begins_early)
        parts: dict[str, Any] = {"effects": self.outcome, "clock": self.clock}
        crew = Crew(self.link, self.handlers, terms, watcher=watching, ids=self.ids, rng=self.rng, **parts)
        nothing = Schedules([], make=lambda _: None, clock=self.clock)  # type: ignore[arg-type,return-value]  # never called
        keep = Keep(keep_us=10**15, keep_dead_us=10**15)
        tending = Tending(self.link, owners=self.owners, schedules=nothing, keep=keep, wake=crew.wake, **parts)
        watching.expect = tending.expect
        process.start(crew.run())
        process.start(tending.run())
        process.start(self.ask_beside(self.desk(Inline(crew.wake), crew=crew, room=crew, expect=tending.expect)))
        self.processes.append((process, worker))

    def desk(self, queue: Inline, **fields: Any) -> Desk:
        parts: dict[str, Any] = {"effects": self.outcome, "ids": self.ids, "clock": self.clock}
        return Desk(self.link, self.handlers, queue, queues=("default",), **parts, **fields)

    async def ask_beside(self, desk: Desk) -> None:
        """Jobs that a worker's own process takes, which may die of it: without a key nobody asks twice."""
        for _ in range(BESIDE):
            await self.clock.sleep(self.rng.uniform(0, FAULTS_S / BESIDE))
            key = "k" if self.rng.random() < 0.3 else None
            with suppress(Unavailable):
                accepted = await desk.accept(Who(), Wanted(kind="work", input=b'{"after":[]}', concurrency_key=key))
                self.outcome.accepted[accepted.job.id] = accepted.job.id

    async def ask(self, key: str, **fields: Any) -> None:
        """A client that goes on until it is told 202."""
        desk = self.desk(Inline(), crew=None, expect=lambda _: None)
        given = msgspec.json.encode({"after": fields.get("after", ())})
        wanted = Wanted(kind="work", input=given, idempotency_key=key, **fields)
        while True:
            with suppress(Unavailable):
                accepted = await desk.accept(Who(), wanted)
                self.outcome.accepted[key] = accepted.job.id
                return
            await self.clock.sleep(self.rng.uniform(0.1, 1))

    async def ask_for_all(self) -> None:
        for number in range(JOBS):
            await self.clock.sleep(self.rng.uniform(0, 2 * FAULTS_S / JOBS))
            fields: dict[str, Any] = {}
            if (luck := self.rng.random()) < 0.2:
                fields["concurrency_key"] = "k"
            elif luck < 0.4:
                fields["run_at_us"] = self.clock.now_us() + self.rng.randint(0, 10_000_000)
            elif luck < 0.6 and self.outcome.accepted:
                parent = self.rng.choice(list(self.outcome.accepted.values()))
                fields["after"] = (parent,)
            key = f"key-{number}"
            with suppress(InvalidRequest):  # its parent may have died of too many lost workers
                await self.ask(key, **fields)

    async def go_wrong(self) -> None:
        while self.loop.time() < FAULTS_S:
            await self.clock.sleep(self.rng.expovariate(0.4))
            process, worker = self.rng.choice(self.processes)
            match self.rng.choice(["kill", "stop", "away", "loss", "failure"]):
                case "kill":
                    process.kill()
                    self.outcome.kills += 1
                    self.processes.remove((process, worker))
                    if self.owners is not None:
                        self.owners.gone.add(worker)
                    self.loop.call_later(self.rng.uniform(0.1, 3), self.start_worker)
                case "stop" if process.runs:
                    process.stop()
                    self.loop.call_later(self.rng.uniform(1, 15), process.resume)
                case "away":
                    self.database.is_away = True
                    await self.clock.sleep(self.rng.uniform(0.1, 5))
                    self.database.is_away = False
                case "loss":
                    self.database.loss_rate = 0.3
                    await self.clock.sleep(self.rng.uniform(0.1, 5))
                    self.database.loss_rate = 0.0
                case "failure":
                    self.database.failure_rate = 0.3
                    await self.clock.sleep(self.rng.uniform(0.1, 5))
                    self.database.failure_rate = 0.0
            if not self.processes:
                self.start_worker()

    async def look(self) -> None:
        """Whether ever more of a lane run than may."""
        statement = "SELECT lane, count(*) FROM jobs WHERE state = 'running' AND lane <> '' GROUP BY lane"
        while True:
            rows = self.database.now(lambda connection: run(connection, statement, Moment(0, 0)))
            self.outcome.crowded += [lane for lane, number in rows if number > 1]
            await self.clock.sleep(0.5)

    async def live(self) -> Outcome:
        for _ in range(WORKERS):
            self.start_worker()
        asking = asyncio.ensure_future(self.ask_for_all())
        looking = asyncio.ensure_future(self.look())
        await self.go_wrong()
        await asking
        for _ in range(round(REST_S)):
            self.outcome.rows = self.database.now(
                lambda connection: repository.page(connection, organisation="default", limit=1000)
            )
            if all(job.state in ENDED for job in self.outcome.rows):
                break
            await self.clock.sleep(1)
        looking.cancel()
        for process, _ in self.processes:
            self.outcome.crashes += process.crashes
        return self.outcome


async def world(loop: SimulatedLoop, bug: Mapping[str, str] | None = None) -> Outcome:
    """One run: what was promised, and what came of it."""
    with simulated_database(loop, jobs, job_attempts, job_links, job_outputs, schedules) as database:
        return await World(loop, database, bug or {}).live()


def faults_of(outcome: Outcome) -> list[str]:
    """What was promised and not kept."""
    rows = {job.id: job for job in outcome.rows}
    found = [f"{key}: {told} is lost" for key, told in outcome.accepted.items() if told not in rows]
    keys = Counter(job.idempotency_key for job in outcome.rows if job.idempotency_key is not None)
    found += [f"{key} was accepted {count} times" for key, count in keys.items() if count > 1]
    for job in outcome.rows:
        if job.state not in ENDED:
            found.append(f"{job.id} is stuck: {job.state}")
        if outcome.events["job.succeeded", job.id] != (job.state == "succeeded"):
            found.append(f"{job.id} is {job.state} and succeeded {outcome.events['job.succeeded', job.id]} times")
        if outcome.events["job.running", job.id] != job.runs:
            found.append(f"{job.id} began {job.runs} times, and {outcome.events['job.running', job.id]} were told")
        if job.state == "succeeded" and job.result != f'"{job.token}"':
            found.append(f"{job.id} has the result of a run that was not its last")
        if job.state == "dead" and (job.failure is None or job.failure.code not in ("worker_lost", "parent_failed")):
            found.append(f"{job.id} is dead of {job.failure}")
    found += [f"{early} ran before its parents" for early in outcome.early]
    found += [f"more of {lane} ran than may" for lane in dict.fromkeys(outcome.crowded)]
    found += [f"a worker crashed: {error!r}" for error in outcome.crashes if not isinstance(error, Killed)]
    return found
