"""A run begins while the COMMIT of its claim is on its way, and is broken off if that fails."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from tests.support.clock import ManualClock
from tests.support.jobs import KeptEffects
from undercroft.clock import SystemClock
from undercroft.errors import Unavailable
from undercroft.ids import Ids
from undercroft.jobs import repository
from undercroft.jobs.crew import BEAT_S, FLUSH_S, LONGEST_PAUSE_S, Crew, Terms
from undercroft.jobs.desk import Desk, Wanted
from undercroft.jobs.handlers import Handlers, JobContext
from undercroft.jobs.head_start import HeadStart
from undercroft.jobs.queues.inline import Inline
from undercroft.jobs.types import Job, Limits
from undercroft.record import Who
from undercroft.storage.engine import Database

T = TypeVar("T")

WITHIN_S = 20.0


class Lasting:
    """Says something, and ends when it may."""

    kind, limits = "lasting", Limits()

    def __init__(self) -> None:
        self.begun: list[str] = []
        """Tokens of its runs."""
        self.ended: list[str] = []
        self.may_end = asyncio.Event()

    def check(self, input: bytes, /) -> str:
        return ""

    async def run(self, job: Job, context: JobContext, /) -> bytes:
        self.begun.append(job.token)
        context.output("said")
        try:
            await self.may_end.wait()
        finally:
            self.ended.append(job.token)
        return b"1"


class Holding:
    """A database that can hold a transaction up before its COMMIT, and then break it, or lose the answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.holds_next = False
        self.go_on = threading.Event()
        self.breaks = False
        self.loses_answer = False

    async def read(self, work: Callable[[Connection], T], /) -> T:
        return await self._database.read(work)

    async def write(self, work: Callable[[Connection], T], /) -> T:
        if not self.holds_next:
            return await self._database.write(work)
        self.holds_next = False
        result = await self._database.write(partial(self._held, work))
        if self.loses_answer:
            raise Unavailable("The connection broke during COMMIT.")
        return result

    def _held(self, work: Callable[[Connection], T], connection: Connection) -> T:
        result = work(connection)
        assert self.go_on.wait(WITHIN_S)
        if self.breaks:
            raise Unavailable("The connection broke before COMMIT.")
        return result


class Fenced:
    """A watcher that counts runs that were no longer the job's."""

    def __init__(self) -> None:
        self.count = 0

    def began(self, job: Job, /) -> None: ...
    def ended(self, job: Job, /) -> None: ...
    def delayed(self, delay_us: int, /) -> None: ...
    def fenced(self, job: Job, /) -> None:
        self.count += 1


class Shop:
    """A crew, and where jobs are handed in for it."""

    def __init__(self, database: Database, **terms: Any) -> None:
        self.database = Holding(database)
        self.lasting = Lasting()
        self.clock = ManualClock()
        self.fenced = Fenced()
        parts: dict[str, Any] = {"effects": KeptEffects(), "ids": Ids(SystemClock()), "clock": self.clock}
        handlers = Handlers([self.lasting])
        usual: dict[str, Any] = {"worker": "me", "at_once": 4, "begins_early": True}
        told = Terms(**usual | terms)
        self.crew = Crew(self.database, handlers, told, watcher=self.fenced, rng=random.Random(1), **parts)
        beside: dict[str, Any] = {"crew": self.crew, "expect": lambda _: None}
        self.desk = Desk(self.database, handlers, Inline(), queues=("default",), **beside, **parts)

    async def accept(self, **fields: Any) -> str:
        return (await self.desk.accept(Who(), Wanted(kind="lasting", input=b"1", **fields))).job.id

    async def claim_and_hold(self) -> None:
        """The crew's next transaction claims, and waits for `go_on`."""
        self.database.holds_next = True
        self.crew.wake()
        await self.until(lambda: not self.database.holds_next)

    async def find(self, named: str) -> Job:
        return await self.desk.find(Who(), named)

    async def succeeds(self, named: str) -> Job:
        """However often the crew must try."""
        self.lasting.may_end.set()
        async with asyncio.timeout(WITHIN_S):
            while (job := await self.find(named)).state != "succeeded":
                self.clock.advance(LONGEST_PAUSE_S)
                await asyncio.sleep(0.01)
        return job

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not reached():  # noqa: ASYNC110 - nothing says when
                await asyncio.sleep(0.002)


def play(database: Database, scene: Callable[[Shop], Awaitable[None]], **terms: Any) -> None:
    async def on_stage() -> None:
        shop = Shop(database, **terms)
        working = asyncio.create_task(shop.crew.run())
        try:
            await scene(shop)
        finally:
            shop.lasting.may_end.set()
            shop.database.go_on.set()
            await shop.crew.close(5)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    asyncio.run(on_stage())


def test_a_run_begins_before_its_claim_is_committed_and_is_recorded_once(database: Database) -> None:
    async def scene(shop: Shop) -> None:
        named = await shop.accept()
        await shop.claim_and_hold()
        await shop.until(lambda: len(shop.lasting.begun) == 1)
        assert (await shop.find(named)).state == "queued", "nobody else sees that it was claimed"
        shop.database.go_on.set()
        job = await shop.succeeds(named)
        assert (job.runs, [job.token]) == (1, shop.lasting.begun)
        assert shop.fenced.count == 0

    play(database, scene)


def test_it_does_not_where_a_commit_is_no_round_trip(database: Database) -> None:
    async def scene(shop: Shop) -> None:
        named = await shop.accept()
        await shop.claim_and_hold()
        await asyncio.sleep(0.05)
        assert shop.lasting.begun == []
        shop.database.go_on.set()
        await shop.succeeds(named)

    play(database, scene, begins_early=False)


@pytest.mark.parametrize("terms", [{}, {"queue_limits": {"default": 2}}], ids=["a lane", "a queue"])
def test_what_is_limited_waits_for_the_commit(database: Database, terms: dict[str, Any]) -> None:
    async def scene(shop: Shop) -> None:
        named = await shop.accept(**({} if terms else {"concurrency_key": "k"}))
        await shop.claim_and_hold()
        await asyncio.sleep(0.05)
        assert shop.lasting.begun == []
        shop.database.go_on.set()
        assert (await shop.succeeds(named)).runs == 1

    play(database, scene, **terms)


def test_a_child_waits_for_the_commit_that_says_that_its_parent_has_succeeded(database: Database) -> None:
    async def scene(shop: Shop) -> None:
        parent = await shop.accept()
        shop.crew.wake()
        await shop.until(lambda: len(shop.lasting.begun) == 1)
        child = await shop.accept(after=(parent,))
        shop.lasting.may_end.set()
        await shop.claim_and_hold()  # what the parent came to, and the child
        await asyncio.sleep(0.05)
        assert len(shop.lasting.begun) == 1
        shop.database.go_on.set()
        assert (await shop.succeeds(child)).runs == 1
        assert (await shop.find(parent)).state == "succeeded"

    play(database, scene)


def test_a_run_whose_claim_fails_is_broken_off_and_the_job_run_again(database: Database) -> None:
    async def scene(shop: Shop) -> None:
        named = await shop.accept()
        await shop.claim_and_hold()
        await shop.until(lambda: len(shop.lasting.begun) == 1)
        shop.database.breaks = True
        shop.database.go_on.set()
        await shop.until(lambda: shop.lasting.ended == shop.lasting.begun)
        assert shop.fenced.count == 1
        assert (await shop.find(named)).state == "queued"
        job = await shop.succeeds(named)
        assert job.runs == 1, "the claim that failed was none"
        assert job.token == shop.lasting.begun[-1] != shop.lasting.begun[0]

    play(database, scene)


def test_what_a_run_came_to_counts_for_nothing_if_its_claim_fails(database: Database) -> None:
    async def scene(shop: Shop) -> None:
        shop.lasting.may_end.set()
        named = await shop.accept()
        await shop.claim_and_hold()
        await shop.until(lambda: len(shop.lasting.ended) == 1)
        shop.database.breaks = True
        shop.database.go_on.set()
        job = await shop.succeeds(named)
        assert (job.runs, job.token) == (1, shop.lasting.begun[1])
        assert shop.fenced.count == 1

    play(database, scene)


@pytest.mark.parametrize("ends_first", [True, False])
def test_a_claim_of_which_nobody_knows_is_run_once_to_its_end(database: Database, ends_first: bool) -> None:
    async def scene(shop: Shop) -> None:
        named = await shop.accept()
        await shop.claim_and_hold()
        await shop.until(lambda: len(shop.lasting.begun) == 1)
        if ends_first:
            shop.lasting.may_end.set()
            await shop.until(lambda: bool(shop.lasting.ended) and shop.crew.count == 0)
        shop.database.loses_answer = True
        shop.database.go_on.set()
        await shop.until(lambda: len(shop.lasting.ended) == 1)
        job = await shop.succeeds(named)
        assert job.token == shop.lasting.begun[-1]
        assert job.runs == len(shop.lasting.begun) == (1 if ends_first else 2)

    play(database, scene)


def test_leases_and_output_are_seen_to_once_the_claim_is_committed(database: Database) -> None:
    """Before that, its row looks like somebody else's."""

    async def scene(shop: Shop) -> None:
        named = await shop.accept()
        await shop.claim_and_hold()
        await shop.until(lambda: len(shop.lasting.begun) == 1)
        for _ in range(4):
            shop.clock.advance(max(BEAT_S, FLUSH_S))
            await asyncio.sleep(0.05)
        assert shop.lasting.ended == []
        shop.database.go_on.set()
        async with asyncio.timeout(WITHIN_S):
            while not await shop.database.read(partial(pieces_of, named)):
                shop.clock.advance(FLUSH_S)
                await asyncio.sleep(0.02)
        assert (await shop.succeeds(named)).runs == 1
        assert shop.fenced.count == 0

    play(database, scene)


def pieces_of(named: str, connection: Connection) -> list[tuple[int, str]]:
    return repository.pieces_after(connection, organisation="default", id=named, after=-1)


def test_who_comes_too_late_gets_no_head_start() -> None:
    """As where the database answers, or does not, before the loop has heard of the rows."""

    async def scene() -> None:
        begun: list[object] = []
        ahead = HeadStart(begun.append)
        ahead.give([])
        ahead.end()
        await asyncio.sleep(0)
        assert begun == []

    asyncio.run(scene())
