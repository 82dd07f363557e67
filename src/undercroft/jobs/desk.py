"""Where jobs are handed in, looked up, followed, cancelled and retried, by the organisation they belong to."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection

from undercroft.clock import Clock
from undercroft.errors import InvalidRequest, NotFound
from undercroft.ids import Ids
from undercroft.jobs import repository
from undercroft.jobs.acceptance import Acceptance, Room
from undercroft.jobs.crew import Crew, Transactions
from undercroft.jobs.effects import Effects
from undercroft.jobs.handlers import Handlers, JobContext
from undercroft.jobs.queue import JobQueue
from undercroft.jobs.statements import moment_of
from undercroft.jobs.types import DEFAULT_QUEUE, ENDED, PREFIX, Accepted, Attempt, Job, JobSpec, Limits, Status
from undercroft.record import Who

POLL_S: Final = 0.25
"""How often a job that runs elsewhere is looked at for those who follow it."""
LOOK_AGAIN_S: Final = 1.0
"""The same for one that runs here, and tells of itself."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A job as its caller asks for it."""

    kind: str
    input: bytes
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    run_at_us: int = 0
    max_attempts: int | None = None
    timeout_us: int | None = None
    lifetime_us: int | None = None
    idempotency_key: str | None = None
    unique_key: str | None = None
    concurrency_key: str | None = None
    after: tuple[str, ...] = ()
    webhook: str = ""
    schedule: str = ""
    trace: str = ""


class News(msgspec.Struct, frozen=True):
    """What those who follow a job are told."""

    name: Literal["status", "progress", "output"]
    job: Job | None = None
    text: str = ""
    """JSON."""
    number: int = 0
    """Of a piece of output; each run counts from 0."""


Beside = Callable[[Connection, Job], None]
"""Writes something of its own in the transaction in which a job is changed."""


class Desk:
    """Jobs of all organisations; one never sees another's. Raises Unavailable while the database is away."""

    def __init__(
        self,
        database: Transactions,
        handlers: Handlers,
        queue: JobQueue,
        *,
        queues: tuple[str, ...],
        effects: Effects,
        crew: Crew | None,
        room: Room | None = None,
        expect: Callable[[int], None],
        ids: Ids,
        clock: Clock,
    ) -> None:
        """`queues` are those that somebody works on; `expect` hears of jobs whose time is yet to come. `room` is the
        crew's, if jobs are to be claimed for it as they come in."""
        self._database = database
        self._handlers = handlers
        self._queue = queue
        self._queues = queues
        self._effects = effects
        self._acceptance = Acceptance(database, effects=effects, room=room, clock=clock)
        self._crew = crew
        self._expect = expect
        self._ids = ids
        self._clock = clock

    async def accept(self, who: Who, wanted: Wanted) -> Accepted:
        """Takes a job: it is in the database when this returns. Raises InvalidRequest and Conflict."""
        accepted = await self._acceptance.accept(self.spec(who, wanted))
        if accepted.was == "new" and not accepted.is_placed:
            await self.announce([accepted.job])
        return accepted

    async def accept_with(
        self, who: Who, wanted: Sequence[Wanted], beside: Callable[[Connection, Sequence[Job]], None]
    ) -> list[Job]:
        """Takes jobs, and writes what `beside` writes of them, in one transaction: all of it is there when this
        returns, or nothing. Raises InvalidRequest and Conflict, and what `beside` does."""
        specs = [self.spec(who, each) for each in wanted]
        moment = moment_of(self._clock)

        def accept(connection: Connection) -> list[Job]:
            taken = repository.accept_all(connection, specs, moment=moment, effects=self._effects)
            beside(connection, taken)
            return taken

        jobs = await self._database.write(accept)
        await self.announce(jobs)
        return jobs

    def spec(self, who: Who, wanted: Wanted) -> JobSpec:
        """The job that this asks for, checked. Raises InvalidRequest."""
        handler = self._handlers.find(wanted.kind)
        if wanted.queue not in self._queues:
            raise InvalidRequest(
                f"There is no queue '{wanted.queue[:100]}'.",
                code="unknown_queue",
                param="queue",
                hint=f"There are: {', '.join(self._queues)}. [jobs] queues adds others.",
            )
        lane = handler.check(wanted.input)
        if wanted.concurrency_key is not None:
            lane = f"key:{wanted.concurrency_key}"
        return JobSpec(
            id=self._ids.new(PREFIX),
            who=who,
            kind=wanted.kind,
            input=wanted.input,
            queue=wanted.queue,
            priority=wanted.priority,
            lane=lane,
            run_at_us=wanted.run_at_us,
            limits=_limits(handler.limits, wanted),
            after=wanted.after,
            idempotency_key=wanted.idempotency_key,
            fingerprint=fingerprint(wanted) if wanted.idempotency_key is not None else "",
            unique_key=wanted.unique_key,
            webhook=wanted.webhook,
            schedule=wanted.schedule,
            trace=wanted.trace,
        )

    async def find(self, who: Who, id: str) -> Job:
        """Raises NotFound."""
        find = partial(repository.find, organisation=who.organisation, id=id)
        return _found(await self._database.read(find), id)

    async def attempts(self, who: Who, id: str) -> list[Attempt]:
        """The runs of a job that did not succeed."""
        return await self._database.read(partial(repository.attempts, organisation=who.organisation, id=id))

    async def page(
        self, who: Who, *, status: Status | None, kind: str | None, queue: str | None, before: str, limit: int
    ) -> list[Job]:
        """Some of the organisation's jobs, the latest first, from the one made before `before` on."""
        page = partial(repository.page, organisation=who.organisation, status=status, kind=kind, queue=queue)
        return await self._database.read(partial(page, before=before, limit=limit))

    async def cancel(self, who: Who, id: str, *, beside: Beside | None = None) -> Job:
        """Cancels what waits, and asks what runs to stop; what has ended stays as it is. Raises NotFound."""
        cancel = partial(repository.ask_cancel, organisation=who.organisation, id=id, effects=self._effects)
        work = _with(partial(cancel, moment=moment_of(self._clock)), beside)
        job = _found(await self._database.write(work), id)
        if self._crew is not None:
            self._crew.cancel(job.id)
            self._crew.wake()
        return job

    async def retry(self, who: Who, id: str, *, beside: Beside | None = None) -> Job:
        """Runs a dead or cancelled job again from the beginning. Raises NotFound and Conflict."""
        retry = partial(repository.retry, organisation=who.organisation, id=id, effects=self._effects)
        work = _with(partial(retry, moment=moment_of(self._clock)), beside)
        job = _found(await self._database.write(work), id)
        await self.announce([job])
        return job

    async def follow(self, who: Who, id: str, *, after: int = -1) -> AsyncGenerator[News, None]:
        """What happens to a job from now on, and its output from the piece past `after` on; ends when it has ended."""
        seen: tuple[str, int] = ("", -1)
        told: str | None = None
        context: JobContext | None = None
        while True:
            job = await self.find(who, id)
            if seen[1] not in (-1, job.runs):
                after, told, context = -1, None, None  # another run begins anew
            if self._crew is not None and job.state == "running":
                context = self._crew.context_of(id) or context
            has_ended = job.state in ENDED
            if (job.status, job.runs) != seen and not has_ended:
                yield News("status", job)
            seen = (job.status, job.runs)
            pieces = await self._pieces(job, after) if context is None else list(enumerate(context.pieces))[after + 1 :]
            for number, piece in pieces:
                after = number
                yield News("output", text=piece, number=number)
            progress = job.progress if context is None else context.told
            if progress is not None and progress != told:
                told = progress
                yield News("progress", text=progress)
            if has_ended:
                yield News("status", job)
                return
            if context is None or context.is_over:
                await self._clock.sleep(POLL_S)
            elif len(context.pieces) == after + 1 and context.told == told:
                await self._more(context)

    async def _more(self, context: JobContext) -> None:
        """Returns when the job says more, or it is time to look whether it was taken away."""
        more = asyncio.ensure_future(context.more())
        try:
            await asyncio.wait({more}, timeout=LOOK_AGAIN_S)
        finally:
            more.cancel()

    async def _pieces(self, job: Job, after: int) -> list[tuple[int, str]]:
        pieces = partial(repository.pieces_after, organisation=job.organisation, id=job.id, after=after)
        return await self._database.read(pieces)

    async def announce(self, jobs: Sequence[Job]) -> None:
        """Lets workers know of jobs that were committed (by `accept`, or in a transaction of the caller's own)."""
        if queued := [job for job in jobs if job.state == "queued"]:
            await self._queue.deliver(queued)
        for job in jobs:
            if job.state == "delayed":
                self._expect(max(0, job.run_at_us - self._clock.now_us()))


def fingerprint(wanted: Wanted) -> str:
    """Equal for equal requests, however their JSON was written."""
    asked: Mapping[str, Any] = {
        **msgspec.structs.asdict(wanted),
        "input": msgspec.json.decode(wanted.input),
        "idempotency_key": None,
        "trace": None,
    }
    return hashlib.blake2b(msgspec.json.encode(asked, order="sorted"), digest_size=16).hexdigest()


def _limits(usual: Limits, wanted: Wanted) -> Limits:
    told = {"max_attempts": wanted.max_attempts, "timeout_us": wanted.timeout_us, "lifetime_us": wanted.lifetime_us}
    return msgspec.structs.replace(usual, **{name: value for name, value in told.items() if value is not None})


def _with(change: Callable[[Connection], Job | None], beside: Beside | None) -> Callable[[Connection], Job | None]:
    """The change, and what is written beside it; nothing is where there is no such job."""

    def both(connection: Connection) -> Job | None:
        job = change(connection)
        if job is not None and beside is not None:
            beside(connection, job)
        return job

    return both


def _found(job: Job | None, id: str) -> Job:
    if job is None:
        raise NotFound(f"There is no job '{id[:100]}'.", code="unknown_job")
    return job
