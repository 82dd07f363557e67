"""Runs jobs in this process, so many at once.

All that it writes goes in turns: what has ended since the last one is settled, and as much as there is room for is
claimed, in one transaction. Under load a turn carries many jobs; alone, a job waits for nobody.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from undercroft.clock import Clock
from undercroft.errors import InvalidRequest, Unavailable
from undercroft.ids import Ids
from undercroft.jobs import repository
from undercroft.jobs.claims import Claim, claim, claim_named, is_limited, renew
from undercroft.jobs.effects import Effects, Gathered, reached
from undercroft.jobs.endings import Ended, Settled, running_of, settle
from undercroft.jobs.execution import Execution
from undercroft.jobs.handlers import Handlers, JobContext
from undercroft.jobs.head_start import HeadStart
from undercroft.jobs.retry import failure_of
from undercroft.jobs.statements import Moment, moment_of, relax
from undercroft.jobs.types import DEFAULT_QUEUE, Failed, Failure, Job, Outcome, Released, Saying
from undercroft.telemetry.logs import get_logger

T = TypeVar("T")

FLUSH_S: Final = 0.5
"""How often progress and output are written, for those who follow from another process."""
LINGER_S: Final = 0.015
"""How long a crew with room that has just claimed something, and something just before that, keeps how a run came
out, to write it along with what it claims next."""
BEAT_S: Final = 1.0
"""How often leases are renewed, and how soon a run that was cancelled or lost elsewhere is broken off here."""
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
"""Between tries while the database is away."""
NAMED_AT_ONCE: Final = 64
DOUBT_S: Final = 300.0
"""How long a claim that failed may still come about: longer than the database is waited for."""
STOP_S: Final = 5.0
"""How long shutting down waits for runs that were told to end, and for the database to take what they came to."""


class Transactions(Protocol):
    """The database, as far as jobs need it: each work runs in one transaction; raises Unavailable."""

    async def read(self, work: Callable[[Connection], T], /) -> T: ...

    async def write(self, work: Callable[[Connection], T], /) -> T: ...


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a crew works."""

    worker: str
    """One life of one process."""
    queues: tuple[str, ...] = (DEFAULT_QUEUE,)
    at_once: int = 16
    lease_s: float = 30.0
    queue_limits: Mapping[str, int] = {}
    lane_limit: int = 1
    begins_early: bool = False
    """Whether a run begins while the COMMIT of its claim is on its way: worth it where that is a round trip."""


class Watcher(Protocol):
    """Hears what a crew did."""

    def began(self, job: Job, /) -> None: ...

    def ended(self, job: Job, /) -> None:
        """A job of ours, as its row is now."""
        ...

    def fenced(self, job: Job, /) -> None:
        """A run came out that was no longer the job's: nothing was changed."""
        ...

    def delayed(self, delay_us: int, /) -> None:
        """Some job's time comes in this long."""
        ...


class Crew:
    """Runs as many jobs at once as its terms say."""

    def __init__(
        self,
        database: Transactions,
        handlers: Handlers,
        terms: Terms,
        *,
        effects: Effects,
        watcher: Watcher,
        ids: Ids,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.terms = terms
        self._database = database
        self._handlers = handlers
        self._effects = effects
        self._watcher = watcher
        self._ids = ids
        self._clock = clock
        self._rng = rng
        self._running: dict[tuple[str, str], Execution] = {}
        """By job and token."""
        self._ended: list[Ended] = []
        self._unsaid: list[Saying] = []
        """What runs that have ended said last."""
        self._named: list[tuple[str, str]] = []
        self._promised = 0
        """Room that claims under way may fill."""
        self._claimed_at = 0.0
        self._gap_s = LINGER_S
        """Between its two latest claims."""
        self._ahead: HeadStart | None = None
        """Of the turn under way."""
        self._doubtful: dict[str, float] = {}
        """Tokens of claims of which nobody knows whether they were made, or will be; each with when it was tried."""
        self._parked: dict[str, float] = {}
        self._after = ""
        self._may_be_more = True
        self._is_closing = False
        self._changed = asyncio.Event()
        self._is_beating = asyncio.Event()
        """Something runs, or may have been claimed."""
        self._idle = asyncio.Event()

    @property
    def count(self) -> int:
        """How many jobs run now."""
        return len(self._running)

    def wake(self) -> None:
        """There may be something to claim."""
        self._may_be_more = True
        self._changed.set()

    def give(self, ids: Sequence[tuple[str, str]]) -> None:
        """These were delivered, by organisation and id.

        Names save a search while there is room. Who comes next when there is some again, is decided then.
        """
        room = self._room() - len(self._named)
        self._named += ids[: max(0, room)]
        if len(ids) > room:
            self._may_be_more = True
        self._changed.set()

    def lend(self) -> Claim | None:
        """All the room there is, if that is much and no claim is under way; for who hands jobs in, and claims in the
        same transaction. One of the next two gives it back."""
        if self._promised or self._is_closing or self._is_scarce():
            return None
        self._promised = self._room()
        return self._claim(self._promised)

    def fill(self, asked: Claim, jobs: Sequence[Job], /) -> None:
        """These were claimed: they begin."""
        self._promised -= asked.limit
        for job in jobs:
            self._start(job)
        if len(jobs) == asked.limit:
            self._may_be_more = True
        self._changed.set()

    def lose(self, asked: Claim, /, *, is_doubtful: bool) -> None:
        """Nothing was claimed or, where nobody knows, maybe something."""
        self._promised -= asked.limit
        if is_doubtful:
            self._doubt(asked)
        self.wake()

    def cancel(self, id: str) -> None:
        """Breaks a job off if it runs here."""
        for execution in list(self._running.values()):
            if execution.job.id == id:
                execution.stop("cancelled")

    def context_of(self, id: str) -> JobContext | None:
        """What a job that runs here has said so far."""
        return next((each.context for each in self._running.values() if each.job.id == id), None)

    async def run(self) -> None:
        """Works until it is cancelled; `close` comes first."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._turns())
            tasks.create_task(self._beats())

    async def close(self, grace_s: float) -> None:
        """Claims nothing more, and returns when what runs has ended and is settled. What has not after `grace_s` is
        broken off, and anybody's again at once."""
        self._is_closing = True
        self._changed.set()
        if await self._is_idle_within(grace_s):
            return
        for execution in list(self._running.values()):
            execution.stop("released")
        if not await self._is_idle_within(STOP_S):
            for execution in list(self._running.values()):
                execution.give_up("released")
            await self._is_idle_within(STOP_S)  # else the database is away, and the leases run out

    async def _is_idle_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _turns(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            await self._changed.wait()
            self._changed.clear()
            ended, self._ended = self._ended, []
            unsaid, self._unsaid = self._unsaid, []
            try:
                await self._turn(ended, unsaid)
                pause_s = FIRST_PAUSE_S
            except Exception as error:  # noqa: BLE001 - a duty's outermost edge: what ended is kept, and written later
                if isinstance(error, Unavailable):
                    get_logger("undercroft.jobs").debug("jobs_wait_for_the_database", reason=str(error))
                else:
                    get_logger("undercroft.jobs").error("jobs_not_claimed", exc_info=error)
                self._ended = ended + self._ended
                self._unsaid = unsaid + self._unsaid
                self._may_be_more = True
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                self._changed.set()
            if self._is_closing and not self._running and not self._ended and not self._promised:
                self._idle.set()

    def _room(self) -> int:
        return self.terms.at_once - len(self._running) - self._promised

    def _is_scarce(self) -> bool:
        return 2 * self._room() < self.terms.at_once

    async def _turn(self, ended: list[Ended], unsaid: list[Saying]) -> None:
        free = 0 if self._is_closing else self._room()
        claims = free > 0 and self._may_be_more
        named = self._named[: min(free, NAMED_AT_ONCE)] if free > 0 else []
        if not (ended or claims or named):
            return
        asked = self._claim(free if claims else 0)
        if claims:
            self._may_be_more = False  # unless somebody says so meanwhile
        turn = partial(_turn, ended=ended, unsaid=unsaid, asked=asked, named=named, effects=self._effects)
        promised = free if claims or named else 0
        self._promised += promised
        ahead = self._ahead = HeadStart(partial(self._begin, promised=promised))
        try:
            give = ahead.give if self.terms.begins_early else None
            settled, claimed = await self._database.write(partial(turn, give=give, moment=moment_of(self._clock)))
        except Unavailable:
            self._doubt(asked)
            self._break_off(ahead)
            raise
        except Exception as error:
            self._break_off(ahead)
            if not ended:
                raise
            self.wake()
            await self._settle_one_by_one(ended, error)
            return
        finally:
            ahead.end()
            self._ahead = None
            if not ahead.begun:
                self._promised -= promised
        del self._named[: len(named)]
        if claimed and not ahead.begun:
            self._begin(claimed)
        if claims and len(claimed) == free:
            self._may_be_more = True
        if self._named:
            self._changed.set()
        self._tell(ended, settled)

    def _claim(self, limit: int) -> Claim:
        now = self._clock.monotonic()
        self._parked = {lane: until for lane, until in self._parked.items() if until > now}
        terms = self.terms
        return Claim(
            worker=terms.worker,
            token=self._ids.new(""),
            lease_us=round(terms.lease_s * 1_000_000),
            queues=terms.queues,
            limit=limit,
            queue_limits=terms.queue_limits,
            lane_limit=terms.lane_limit,
            parked={lane: round((until - now) * 1_000_000) for lane, until in self._parked.items()},
            after=self._after,
        )

    def _doubt(self, asked: Claim) -> None:
        self._doubtful[asked.token] = self._clock.monotonic()
        self._is_beating.set()

    def _begin(self, jobs: Sequence[Job], *, promised: int = 0) -> None:
        """What was claimed, into the room that was promised to it."""
        self._promised -= promised
        now = self._clock.monotonic()
        self._gap_s, self._claimed_at = now - self._claimed_at, now
        for job in jobs:
            self._start(job)

    def _break_off(self, ahead: HeadStart) -> None:
        """The claim of these may have come to nothing."""
        for key in ahead.begun & self._running.keys():
            self._running[key].stop("fenced")

    def _certain(self) -> dict[tuple[str, str], Execution]:
        """What runs here by a claim that is committed: others are not to be seen in the database yet."""
        in_doubt = self._ahead.begun if self._ahead is not None else frozenset()
        return {key: execution for key, execution in self._running.items() if key not in in_doubt}

    def _start(self, job: Job) -> None:
        self._after = job.organisation
        try:
            handler = self._handlers.find(job.kind)
        except InvalidRequest as error:  # accepted by a process that knows more kinds, or by an earlier version
            self._over(job, Failed(failure_of(error)))
            return
        self._running[job.id, job.token] = Execution(job, handler, self._came_out)
        self._is_beating.set()
        self._watcher.began(job)

    def _came_out(self, execution: Execution, outcome: Outcome | None) -> None:
        job = execution.job
        del self._running[job.id, job.token]
        if outcome is None:
            self._watcher.fenced(job)
            self._changed.set()
        else:
            if (saying := execution.saying()) is not None:
                self._unsaid.append(saying)
            self._over(job, outcome)

    def _over(self, job: Job, outcome: Outcome) -> None:
        self._ended.append(Ended(job, outcome, self._rng.random()))
        if isinstance(outcome, Failed) and outcome.failure.parks and job.lane:
            self._parked[job.lane] = self._clock.monotonic() + max(outcome.failure.retry_after_s, 1.0)
        if self._gap_s < LINGER_S and not (self._may_be_more or self._is_closing or self._is_scarce()):
            asyncio.get_running_loop().call_later(LINGER_S, self._changed.set)
        else:
            self._changed.set()

    def _tell(self, ended: Sequence[Ended], settled: Settled) -> None:
        known = {(job.id, job.token) for job in settled.jobs}
        for each in ended:
            if (each.job.id, each.job.token) not in known:
                self._watcher.fenced(each.job)
        for job in settled.jobs:
            self._watcher.ended(job)
            if job.state == "queued":
                self.wake()
            elif job.state == "delayed":
                self._watcher.delayed(max(0, job.run_at_us - self._clock.now_us()))
        if settled.freed:
            self.wake()

    async def _settle_one_by_one(self, ended: Sequence[Ended], error: Exception) -> None:
        """So that the one that cannot be written fails alone."""
        get_logger("undercroft.jobs").error("results_not_written", count=len(ended), exc_info=error)
        for each in ended:
            for attempt in (each, Ended(each.job, Failed(NOT_STORED), each.jitter)):
                work = partial(settle, ended=[attempt], moment=moment_of(self._clock), effects=self._effects)
                try:
                    self._tell([attempt], await self._database.write(work))
                except Unavailable:
                    self._ended.append(each)
                except Exception as refused:
                    if attempt is not each:
                        raise
                    get_logger("undercroft.jobs").error("result_not_written", job=each.job.id, exc_info=refused)
                    continue
                break

    async def _beats(self) -> None:
        renewed = self._clock.monotonic()
        while True:
            await self._is_beating.wait()
            await self._clock.sleep(FLUSH_S)
            try:
                await self._flush()
                if self._clock.monotonic() - renewed >= BEAT_S and (self._running or self._doubtful):
                    renewed = self._clock.monotonic()
                    await self._renew()
            except Unavailable as error:
                get_logger("undercroft.jobs").debug("leases_not_renewed", reason=str(error))
            except Exception as error:  # noqa: BLE001 - as above
                get_logger("undercroft.jobs").error("leases_not_renewed", exc_info=error)
            if not self._running and not self._doubtful:
                self._is_beating.clear()

    async def _renew(self) -> None:
        """Renews all leases; breaks off what is no longer ours or no longer wanted, and lets go of what was claimed
        without our learning of it."""
        now = self._clock.monotonic()
        self._doubtful = {token: tried for token, tried in self._doubtful.items() if now - tried < DOUBT_S}
        running = self._certain()
        lease_us = round(self.terms.lease_s * 1_000_000)
        work = partial(renew, worker=self.terms.worker, lease_us=lease_us, moment=moment_of(self._clock))
        alive = await self._database.write(work)
        for key, execution in running.items():
            if key not in alive:
                execution.stop("fenced")
            elif alive[key]:
                execution.stop("cancelled")
        unknown = {token for _, token in alive} & self._doubtful.keys()
        if unknown:
            let_go = partial(_let_go, worker=self.terms.worker, tokens=unknown, effects=self._effects)
            await self._database.write(partial(let_go, moment=moment_of(self._clock)))
            self.wake()

    async def _flush(self) -> None:
        for execution in self._certain().values():
            if (saying := execution.saying()) is not None:
                await self._database.write(partial(repository.note_saying, saying=saying))
                execution.note_said(saying)


def _turn(
    connection: Connection,
    *,
    ended: Sequence[Ended],
    unsaid: Sequence[Saying],
    asked: Claim,
    named: Sequence[tuple[str, str]],
    effects: Effects,
    give: Callable[[Sequence[Job]], None] | None,
    moment: Moment,
) -> tuple[Settled, list[Job]]:
    if not ended:
        relax(connection)
    gathered = Gathered()
    for saying in unsaid:
        repository.note_saying(connection, saying)
    settled = settle(connection, ended, moment=moment, effects=gathered) if ended else Settled([], [])
    taken = claim_named(connection, asked, named, moment=moment) if named else []
    if len(taken) < asked.limit:
        rest = msgspec.structs.replace(asked, limit=asked.limit - len(taken))
        taken += claim(connection, rest, moment=moment)
    if give and taken and not asked.queue_limits and not _rests(taken, settled):
        give(taken)
    gathered.append(connection, [reached(job) for job in taken])
    gathered.write(connection, effects)
    return settled, taken


def _rests(taken: Sequence[Job], settled: Settled) -> bool:
    """Whether some of what was claimed must not have begun if the transaction fails: limits are kept to, and nobody
    runs before those that he waits for."""
    moved = {job.id for job in (*settled.jobs, *settled.freed)}
    return any(job.id in moved or is_limited(job.lane) for job in taken)


def _let_go(
    connection: Connection, *, worker: str, tokens: Collection[str], effects: Effects, moment: Moment
) -> Settled:
    ours = [job for job in running_of(connection, worker=worker, moment=moment) if job.token in tokens]
    return settle(connection, [Ended(job, Released()) for job in ours], moment=moment, effects=effects)


NOT_STORED: Final = Failure(code="result_not_stored", message="The database did not take the result.", blame="final")
