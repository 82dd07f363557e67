"""Batches on a real database, with a clock that a test moves: the real desk, duty, steps and job SQL, and a process
that dies at whichever write a test names."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from sqlalchemy import Connection, select, update

from tests.support.clock import ManualClock
from undercroft.assembly.job_effects import ToldEffects
from undercroft.batches.desk import BatchDesk
from undercroft.batches.duty import LEASE_US, Duty
from undercroft.batches.steps import Steps
from undercroft.batches.tending import Tending
from undercroft.batches.types import KIND, Batch, ItemInput, ItemResult, Order
from undercroft.batches.validation import Checked
from undercroft.errors import InvalidRequest
from undercroft.events.outbox import Outbox
from undercroft.files.blobs.disk import Disk
from undercroft.files.cabinet import Cabinet
from undercroft.files.types import Label
from undercroft.ids import Ids
from undercroft.jobs import claims, endings, repository
from undercroft.jobs.claims import Claim
from undercroft.jobs.desk import Desk
from undercroft.jobs.endings import Ended
from undercroft.jobs.handlers import Handlers, JobContext
from undercroft.jobs.queues.inline import Inline
from undercroft.jobs.statements import Moment, moment_of
from undercroft.jobs.types import Failed, Failure, Job, Limits, Outcome, Succeeded
from undercroft.record import Usage, Who
from undercroft.storage.engine import Database
from undercroft.storage.schema import batch_items, duties, events, files, jobs
from undercroft.testing.blobs import pieces_of

T = TypeVar("T")

URL = "/v1/embeddings"
AT_ONCE = 4
Answer = Callable[[ItemInput], Outcome]


class Killed(BaseException):
    """The process is gone: nothing of it does anything any more."""


class Mortal:
    """The database as a process has it that is killed at a write: before it reached the database, or after it was
    committed there."""

    def __init__(self, database: Database, *, at: int = 0, when: Literal["before", "after"] = "before") -> None:
        self._database = database
        self._at = at
        self._when = when
        self.writes = 0
        self.is_dead = False

    async def read(self, work: Callable[[Connection], T], /) -> T:
        self._look()
        return await self._database.read(work)

    async def write(self, work: Callable[[Connection], T], /) -> T:
        self._look()
        self.writes += 1
        is_last = self.writes == self._at
        if is_last and self._when == "before":
            self.is_dead = True
            raise Killed
        result = await self._database.write(work)
        if is_last:
            self.is_dead = True
            raise Killed
        return result

    def _look(self) -> None:
        if self.is_dead:
            raise Killed


class ItemHandler:
    """Takes any line; nobody runs it."""

    kind = KIND
    limits = Limits()

    def check(self, input: bytes, /) -> str:
        return ""

    async def run(self, job: Job, context: JobContext, /) -> bytes:
        raise NotImplementedError

    def look(self, endpoint: str, body: bytes, /) -> Checked:
        if body == b"{}":
            raise InvalidRequest("No input.", code="no_input", param="input")
        return Checked("m", 1)


def done(asked: ItemInput) -> Outcome:
    """The line is answered."""
    response = {"status_code": 200, "request_id": "req_1", "body": {"line": asked.line}}
    raw = msgspec.Raw(msgspec.json.encode(response))
    result = ItemResult(outcome="completed", response=raw, usage=Usage(input=2, output=1))
    return Succeeded(msgspec.json.encode(result))


def given_up(_: ItemInput) -> Outcome:
    """No run of the line will succeed."""
    return Failed(Failure(code="upstream_invalid", message="Noise.", blame="final"))


class BatchWorld:
    """One life of one process. Others on the same database are made with `again`."""

    def __init__(
        self, database: Database, folder: Path, clock: ManualClock, *, mortal: Mortal | None = None, life: int = 1
    ) -> None:
        self.database = database
        self.folder = folder
        self.clock = clock
        self.life = life
        self.mortal = mortal or Mortal(database)
        ids = Ids(clock)
        self.outbox = Outbox(clock)
        self.effects = ToldEffects(self.outbox)
        handler = ItemHandler()
        self.files = Cabinet(self.mortal, Disk(folder / "blobs"), ids=ids, clock=clock)
        self.jobs = Desk(
            self.mortal, Handlers([handler]), Inline(None), queues=("default",), effects=self.effects,
            crew=None, expect=lambda _: None, ids=ids, clock=clock,
        )  # fmt: skip
        self.desk = BatchDesk(self.mortal, self.files, wake=lambda: None, ids=ids, clock=clock)
        self.duty = Duty(self.mortal, holder=f"life-{life}", clock=clock)
        self.steps = Steps(
            self.duty, self.files, lambda: self.jobs, handler, database=self.mortal, effects=self.effects,
            outbox=self.outbox, clock=clock, at_once=AT_ONCE,
        )  # fmt: skip
        self.tending = Tending(self.mortal, self.duty, self.steps, clock=clock)

    def again(self) -> "BatchWorld":
        """Another process, once the lease of this one is over."""
        lapse(self.database, self.clock)
        return BatchWorld(self.database, self.folder, self.clock, life=self.life + 1)

    async def order(self, *lines: bytes, organisation: str = "default", **fields: Any) -> Batch:
        who = Who(organisation=organisation, key="key-1")
        label = Label(filename="in.jsonl", purpose="batch")
        file = await self.files.create(who, label, pieces_of([b"\n".join(lines)]))
        return await self.desk.create(who, Order(endpoint=URL, input_file=file.id, **fields))

    async def find(self, batch: Batch) -> Batch:
        return await BatchDesk(
            self.database, self.files, wake=lambda: None, ids=Ids(self.clock), clock=self.clock
        ).find(batch.organisation, batch.id)

    async def claim(self, limit: int = 100, *, organisation: str = "default") -> list[Job]:
        asked = Claim(worker="w", token=f"t{self.clock.now_us()}", lease_us=10**9, queues=("default",), limit=limit)
        self.clock.advance(0.001)
        taken = await self.database.write(partial(claims.claim, asked=asked, moment=self._moment()))
        return [job for job in taken if job.organisation == organisation]

    async def settle(self, taken: Sequence[Job], answer: Answer = done) -> list[Job]:
        ended = [Ended(job, answer(msgspec.json.decode(job.input, type=ItemInput))) for job in taken]
        settle = partial(endings.settle, ended=ended, moment=self._moment(), effects=self.effects)
        return (await self.database.write(settle)).jobs

    async def answer(self, limit: int = 100, answer: Answer = done) -> int:
        """Does some of the jobs; how many."""
        return len(await self.settle(await self.claim(limit), answer))

    async def files_of(self, batch: Batch) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The lines of its output and of its error file."""
        return await self._content(batch, batch.output_file), await self._content(batch, batch.error_file)

    async def _content(self, batch: Batch, file_id: str) -> list[dict[str, Any]]:
        if not file_id:
            return []
        files = Cabinet(self.database, Disk(self.folder / "blobs"), ids=Ids(self.clock), clock=self.clock)
        file = await files.find(batch.organisation, file_id)
        whole = b"".join([piece async for piece in files.content(file)])
        return [msgspec.json.decode(line) for line in whole.splitlines()]

    def told(self) -> Counter[str]:
        """Events by type."""
        rows = self.database.read_sync(lambda connection: connection.execute(select(events.c.type)).scalars().all())
        return Counter(rows)

    def count(self, what: Literal["jobs", "items", "files"]) -> int:
        table = {"jobs": jobs, "items": batch_items, "files": files}[what]
        return len(self.database.read_sync(lambda connection: connection.execute(select(table.c.organisation)).all()))

    async def cancel_job(self, id: str) -> None:
        cancel = partial(repository.ask_cancel, organisation="default", id=id, effects=self.effects)
        await self.database.write(partial(cancel, moment=self._moment()))

    def _moment(self) -> Moment:
        return moment_of(self.clock)


def lapse(database: Database, clock: ManualClock) -> None:
    """The lease of whoever had the duty is over, of which PostgreSQL's own clock decides."""
    clock.advance(LEASE_US / 1_000_000 + 1)
    database.write_sync(lambda connection: connection.execute(update(duties).values(lease_until_us=0)))


def line(custom_id: str, **fields: Any) -> bytes:
    """A line of an input."""
    plain = {"custom_id": custom_id, "method": "POST", "url": URL, "body": {"input": custom_id}}
    return msgspec.json.encode(plain | fields)
