"""The steps of a batch. Each may break off anywhere and is begun again: what it leaves is committed at its end, in a
transaction that only goes through while the duty is ours and the batch is where it was."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection

from undercroft.batches import recording, repository
from undercroft.batches.desk import Transactions
from undercroft.batches.duty import Duty, DutyLost
from undercroft.batches.lifecycle import final_status
from undercroft.batches.lines import LineRefused, parse
from undercroft.batches.output import error_line, output_line, refusal_of
from undercroft.batches.types import KIND, Batch, Item, ItemInput, Line, LineError
from undercroft.batches.validation import CHUNK_LINES, Checker, Validation, chunks
from undercroft.clock import Clock
from undercroft.errors import NotFound, Unavailable, UndercroftError
from undercroft.events.outbox import Outbox
from undercroft.events.types import BatchData, EventType, Fact
from undercroft.files import repository as file_repository
from undercroft.files.cabinet import Cabinet
from undercroft.files.types import BATCH_KEPT_S, Arrived, Label
from undercroft.jobs import repository as job_repository
from undercroft.jobs.desk import Desk, Wanted
from undercroft.jobs.effects import Effects
from undercroft.jobs.statements import moment_of
from undercroft.jobs.types import ENDED, MAX_PRIORITY, Job, JobSpec
from undercroft.record import Usage

AT_ONCE: Final = CHUNK_LINES
"""Lines of one transaction, or one page of a file."""
GONE: Final = LineError(code="input_file_gone", message="The input file was deleted before all its lines were asked.")
_encode = msgspec.json.Encoder().encode


class Steps:
    """What is done about a batch. All raise DutyLost and Unavailable."""

    def __init__(
        self,
        duty: Duty,
        files: Cabinet,
        jobs: Callable[[], Desk],
        checker: Checker,
        *,
        database: Transactions,
        effects: Effects,
        outbox: Outbox,
        clock: Clock,
        at_once: int = AT_ONCE,
    ) -> None:
        """`jobs` is where jobs are handed in, and raises Unavailable while it is not open."""
        self._duty = duty
        self._files = files
        self._jobs = jobs
        self._checker = checker
        self._database = database
        self._effects = effects
        self._outbox = outbox
        self._clock = clock
        self._at_once = at_once

    async def validate(self, batch: Batch) -> None:
        """Reads the input once through, and lets the batch begin or fail."""
        validation = Validation(batch.endpoint, self._checker)
        try:
            async with aclosing(self._input(batch)) as lines:
                async for chunk in lines:
                    await asyncio.to_thread(validation.look, chunk)
                    await self._duty.renew()
                    if validation.is_hopeless:
                        break
            validation.close()
        except LineRefused as error:
            validation.errors.append(error.error)
        except NotFound:
            validation.errors.append(GONE)
        await self._duty.write(partial(self._judge, batch=batch, validation=validation))

    def _judge(self, connection: Connection, *, batch: Batch, validation: Validation) -> None:
        now_us, total = self._clock.now_us(), validation.total
        if validation.errors:
            if repository.fail(connection, batch, validation.errors, now_us=now_us):
                self._tell(connection, "batch.failed", batch, total=total)
        elif repository.begin(connection, batch, total=total, model=validation.model, now_us=now_us):
            self._tell(connection, "batch.in_progress", batch, total=total)

    async def feed(self, batch: Batch) -> None:
        """Makes jobs of the lines that have none yet, or passes over them where the batch is to end."""
        seen = 0
        try:
            async with aclosing(self._input(batch)) as lines:
                async for chunk in lines:
                    fresh = chunk[max(0, batch.fed - seen) :]
                    seen += len(chunk)
                    if not fresh:
                        continue
                    fed = await self._feed(batch, [parse(*each, endpoint=batch.endpoint) for each in fresh])
                    if not fed:
                        return
                    batch = replace(batch, fed=seen)
        except NotFound:
            await self._duty.write(partial(repository.cut_short, batch=batch, why=GONE))

    async def _feed(self, batch: Batch, lines: Sequence[Line]) -> bool:
        taken = [self._taken(batch, line) for line in lines]
        moment = moment_of(self._clock)

        def feed(connection: Connection) -> list[Job] | None:
            if not repository.feed(connection, batch, [item for item, _ in taken]):
                return None
            accept = partial(job_repository.accept, connection, moment=moment, effects=self._effects)
            return [accept(spec=spec).job for _, spec in taken if spec is not None]

        jobs = await self._duty.write(feed)
        if jobs:
            await self._jobs().announce(jobs)
        return jobs is not None

    def _taken(self, batch: Batch, line: Line) -> tuple[Item, JobSpec | None]:
        item = Item(line=line.number, job="", custom_id=line.custom_id, outcome="cancelled")
        if batch.ending:
            return item, None
        asked = ItemInput(batch=batch.id, line=line.number, url=batch.endpoint, body=msgspec.Raw(line.body))
        wanted = Wanted(
            kind=KIND,
            input=_encode(asked),
            priority=-MAX_PRIORITY,
            lifetime_us=max(1, batch.expires_us - self._clock.now_us()),
        )
        desk = self._jobs()
        try:
            spec = desk.spec(batch.who, wanted)
        except UndercroftError as error:  # what its model was is gone since the lines were looked at
            return replace(item, outcome="failed", answer=refusal_of(error.code, str(error))), None
        return replace(item, job=spec.id, outcome="pending"), spec

    async def expire(self, batch: Batch) -> None:
        """Its time is over: nothing more is begun."""
        await self._duty.write(partial(repository.expire, batch=batch))

    async def stop(self, batch: Batch) -> None:
        """Cancels what has not come to anything: what waits at once, what runs within moments."""
        after = 0
        pending = partial(repository.pending_jobs, batch=batch, limit=self._at_once)
        while found := await self._database.read(partial(pending, after=after)):
            after = found[-1][0]
            await self._duty.write(partial(self._stop, batch=batch, found=found))

    def _stop(self, connection: Connection, *, batch: Batch, found: Sequence[tuple[int, str]]) -> None:
        moment, organisation = moment_of(self._clock), batch.organisation
        for line, named in found:
            job = job_repository.ask_cancel(
                connection, organisation=organisation, id=named, moment=moment, effects=self._effects
            )
            if job is None:
                lost = Item(line=line, job=named, custom_id="", outcome="cancelled")
                repository.record(connection, lost, organisation=organisation, batch=batch.id)
            elif job.state in ENDED:
                recording.record(connection, [job])

    async def finish(self, batch: Batch) -> None:
        """Writes the files, and ends the batch with them."""
        now_us = self._clock.now_us()
        if not batch.finalizing_us and not await self._duty.write(
            partial(repository.finalize, batch=batch, now_us=now_us)
        ):
            return
        counting = partial(repository.counts, organisation=batch.organisation, id=batch.id)
        counts = await self._database.read(counting)
        tally = _Tally()
        arrived: dict[str, Arrived] = {}
        try:
            if counts.get("completed"):
                pieces = self._lines(batch, tally, is_output=True)
                arrived["output"] = await self._files.receive(batch.who, pieces)
            if counts.keys() - {"completed"}:
                arrived["error"] = await self._files.receive(batch.who, self._lines(batch, tally, is_output=False))
            done = replace(
                batch,
                output_file=arrived["output"].id if "output" in arrived else "",
                error_file=arrived["error"].id if "error" in arrived else "",
                completed=counts.get("completed", 0),
                failed=counts.get("failed", 0),
                usage=tally.usage,
                ended_us=self._clock.now_us(),
            )
            await self._duty.write(partial(self._end, batch=done, arrived=arrived))
        except BaseException:
            for each in arrived.values():
                await self._files.discard(batch.organisation, each.id)
            raise

    def _end(self, connection: Connection, *, batch: Batch, arrived: dict[str, Arrived]) -> None:
        status = final_status(batch)
        if not repository.end(connection, batch, status=status):
            raise DutyLost
        for kind, each in arrived.items():
            label = Label(
                filename=f"{batch.id}_{kind}.jsonl",
                purpose="batch_output",
                expires_after_s=batch.output_expires_s or BATCH_KEPT_S,
            )
            if file_repository.keep(connection, each, label) is None:
                raise Unavailable("A file of the batch was swept before it was kept.", code="files_unavailable")
        self._tell(connection, _ENDS[status], batch, total=batch.total)

    async def clear(self, batch: Batch) -> None:
        """Forgets its items: its files hold them."""
        while await self._duty.write(partial(repository.clear, batch=batch, limit=self._at_once)):
            pass

    def _input(self, batch: Batch) -> AsyncGenerator[list[tuple[int, bytes]], None]:
        async def lines() -> AsyncGenerator[list[tuple[int, bytes]], None]:
            file = await self._files.find(batch.organisation, batch.input_file)
            async with (
                aclosing(self._files.content(file)) as pieces,
                aclosing(chunks(pieces, self._at_once)) as found,
            ):
                async for chunk in found:
                    yield chunk

        return lines()

    async def _lines(self, batch: Batch, tally: "_Tally", *, is_output: bool) -> AsyncGenerator[bytes, None]:
        after = 0
        page = partial(repository.page, batch=batch, limit=self._at_once)
        while items := await self._database.read(partial(page, after=after)):
            after = items[-1].line
            await self._duty.renew()
            if is_output:
                completed = [item for item in items if item.outcome == "completed"]
                tally.add(completed)
                yield b"".join(output_line(batch, item) for item in completed)
            else:
                yield b"".join(error_line(batch, item) for item in items if item.outcome != "completed")

    def _tell(self, connection: Connection, type: EventType, batch: Batch, *, total: int) -> None:
        data = BatchData(id=batch.id, completed=batch.completed, failed=batch.failed, total=total)
        self._outbox.append(connection, Fact(type, data, batch.organisation))


class _Tally:
    """Adds up what was used."""

    def __init__(self) -> None:
        self.usage = Usage()

    def add(self, items: Sequence[Item]) -> None:
        for item in items:
            mine, theirs = msgspec.structs.astuple(self.usage), msgspec.structs.astuple(item.usage)
            self.usage = Usage(
                **{name: one + other for name, one, other in zip(Usage.__struct_fields__, mine, theirs, strict=True)}
            )


_ENDS: Final[dict[str, EventType]] = {
    "completed": "batch.completed",
    "expired": "batch.expired",
    "cancelled": "batch.cancelled",
}
