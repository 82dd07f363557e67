"""Takes jobs in turns: those that are handed in while one transaction is under way share the next one.

A caller alone waits for nobody; of a thousand at once, a commit and its statements carry many. Where a crew beside has
room, the transaction that takes jobs is also the one that claims for it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol

from sqlalchemy import Connection

from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.jobs import repository
from undercroft.jobs.claims import Claim, claim_heads, would_take
from undercroft.jobs.crew import Transactions
from undercroft.jobs.effects import Effects, Gathered, reached
from undercroft.jobs.statements import Moment, moment_of
from undercroft.jobs.types import Accepted, Job, JobSpec

AT_ONCE: Final = 64
"""Jobs of one turn."""
BYTES_AT_ONCE: Final = 1_000_000
"""And their inputs together; a larger one goes alone."""

Handed = tuple[JobSpec, "asyncio.Future[Accepted]"]


class Room(Protocol):
    """A crew's, that others may claim for."""

    def lend(self) -> Claim | None:
        """All of it, where there is much; else None. Given back by one of the others."""
        ...

    def fill(self, asked: Claim, jobs: Sequence[Job], /) -> None:
        """These were claimed."""
        ...

    def lose(self, asked: Claim, /, *, is_doubtful: bool) -> None:
        """Nothing was or, where nobody knows, maybe something."""
        ...


class Acceptance:
    """Where jobs become rows."""

    def __init__(self, database: Transactions, *, effects: Effects, room: Room | None = None, clock: Clock) -> None:
        """`room` is the crew's that works on all queues beside, where there is one."""
        self._database = database
        self._room = room
        self._effects = effects
        self._clock = clock
        self._waiting: deque[Handed] = deque()
        self._turns: asyncio.Task[None] | None = None

    async def accept(self, spec: JobSpec) -> Accepted:
        """The job is in the database when this returns. Raises InvalidRequest, Conflict and Unavailable."""
        if not repository.is_plain(spec):
            return await self._alone(spec)
        accepted: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._waiting.append((spec, accepted))
        if self._turns is None or self._turns.done():
            self._turns = asyncio.create_task(self._take_turns())
        return await accepted

    async def _alone(self, spec: JobSpec) -> Accepted:
        moment = moment_of(self._clock)
        return await self._database.write(partial(repository.accept, spec=spec, moment=moment, effects=self._effects))

    async def _take_turns(self) -> None:
        while self._waiting:
            turn = self._next()
            try:
                taken = await self._write([spec for spec, _ in turn])
            except Unavailable as error:
                for _, accepted in turn:
                    _refuse(accepted, error)
            except Exception:  # noqa: BLE001 - some job cannot be written: it fails alone
                await asyncio.gather(*(self._fall_back(each) for each in turn))
            else:
                for (_, accepted), what in zip(turn, taken, strict=True):
                    if not accepted.done():
                        accepted.set_result(what)

    def _next(self) -> list[Handed]:
        turn = [self._waiting.popleft()]
        size = len(turn[0][0].input)
        while self._waiting and len(turn) < AT_ONCE and size + len(self._waiting[0][0].input) <= BYTES_AT_ONCE:
            turn.append(self._waiting.popleft())
            size += len(turn[-1][0].input)
        return turn

    async def _write(self, specs: Sequence[JobSpec]) -> list[Accepted]:
        asked = self._room.lend() if self._room is not None else None
        work = partial(_accept, specs=specs, asked=asked, effects=self._effects, moment=moment_of(self._clock))
        try:
            taken, claimed = await self._database.write(work)
        except BaseException as error:
            if self._room is not None and asked is not None:
                self._room.lose(asked, is_doubtful=not isinstance(error, Exception) or isinstance(error, Unavailable))
            raise
        if self._room is not None and asked is not None:
            self._room.fill(asked, claimed)
        placed = {job.id for job in claimed}
        return [Accepted(job, is_placed=job.id in placed) for job in taken]

    async def _fall_back(self, handed: Handed) -> None:
        spec, accepted = handed
        try:
            taken = await self._alone(spec)
        except Exception as error:  # noqa: BLE001 - its caller's to handle
            _refuse(accepted, error)
        else:
            if not accepted.done():
                accepted.set_result(taken)


def _accept(
    connection: Connection, *, specs: Sequence[JobSpec], asked: Claim | None, effects: Effects, moment: Moment
) -> tuple[list[Job], list[Job]]:
    if asked is None:
        return repository.accept_plain(connection, specs, moment=moment, effects=effects, is_last=True), []
    told = Gathered()
    if would_take(connection, asked, specs, moment=moment):
        taken, claimed = repository.accept_claimed(connection, specs, asked, moment=moment, effects=told)
    else:
        taken = repository.accept_plain(connection, specs, moment=moment, effects=told)
        claimed = claim_heads(connection, asked, moment=moment)
        told.append(connection, [reached(job) for job in claimed])
    told.write(connection, effects)
    return taken, claimed


def _refuse(accepted: "asyncio.Future[Accepted]", error: Exception) -> None:
    if not accepted.done():
        accepted.set_exception(error)
