"""A crew lends its room, and writes how runs came out along with what it claims."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from tests.support.clock import ManualClock
from tests.support.jobs import KeptEffects
from undercroft.clock import SystemClock
from undercroft.ids import Ids
from undercroft.jobs.crew import LINGER_S, Crew, Terms
from undercroft.jobs.desk import Desk, Wanted
from undercroft.jobs.handlers import Handlers, JobContext
from undercroft.jobs.queues.inline import Inline
from undercroft.jobs.types import Job, Limits
from undercroft.record import Who
from undercroft.storage.engine import Database, open_database

T = TypeVar("T")


class Echo:
    """Gives back what it got, when it may."""

    kind, limits = "echo", Limits()

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.ended_s = 0.0

    def check(self, input: bytes, /) -> str:
        return ""

    async def run(self, job: Job, context: JobContext, /) -> bytes:
        await self.may_end.wait()
        self.ended_s = asyncio.get_running_loop().time()
        return job.input.encode()


class Counting:
    """A database that notes when it is asked to write."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.begun_s: list[float] = []

    async def read(self, work: Callable[[Connection], T], /) -> T:
        return await self.database.read(work)

    async def write(self, work: Callable[[Connection], T], /) -> T:
        self.begun_s.append(asyncio.get_running_loop().time())
        return await self.database.write(work)


class Silent:
    """A watcher that has nothing to say."""

    def began(self, job: Job, /) -> None: ...
    def ended(self, job: Job, /) -> None: ...
    def fenced(self, job: Job, /) -> None: ...
    def delayed(self, delay_us: int, /) -> None: ...


class Shop:
    """A desk and a crew with room for two, in one process."""

    def __init__(self, database: Database, *, lends: bool) -> None:
        self.database = Counting(database)
        self.echo = Echo()
        self.clock = ManualClock()
        self.looked = 0
        parts: dict[str, Any] = {"effects": KeptEffects(), "ids": Ids(SystemClock()), "clock": self.clock}
        handlers = Handlers([self.echo])
        terms = Terms(worker="me", at_once=2)
        self.crew = Crew(self.database, handlers, terms, watcher=Silent(), rng=random.Random(1), **parts)
        beside: dict[str, Any] = {"crew": self.crew, "expect": lambda _: None}
        if lends:
            beside["room"] = self.crew
        self.desk = Desk(self.database, handlers, Inline(self.crew.wake), queues=("default",), **beside, **parts)

    async def accept(self) -> str:
        return (await self.desk.accept(Who(), Wanted(kind="echo", input=b"1"))).job.id

    async def has_looked(self) -> bool:
        """Whether the crew knows that there is nothing."""
        if (asked := self.crew.lend()) is not None:
            self.crew.fill(asked, [])
        self.looked = len(self.database.begun_s)
        return asked is not None and self.looked > 0

    @property
    def writes(self) -> int:
        """Since then."""
        return len(self.database.begun_s) - self.looked

    async def state(self, id: str) -> str:
        return (await self.desk.find(Who(), id)).state

    async def until(self, reached: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(20):
            while not await reached():  # noqa: ASYNC110 - nothing says when
                await asyncio.sleep(0.002)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(None, data_dir=tmp_path, pool_size=1, clock=SystemClock())
    yield opened
    opened.close()


def play(database: Database, scene: Callable[[Shop], Awaitable[None]], *, lends: bool = True) -> None:
    async def on_stage() -> None:
        shop = Shop(database, lends=lends)
        working = asyncio.create_task(shop.crew.run())
        shop.crew.wake()
        await shop.until(shop.has_looked)
        try:
            await scene(shop)
        finally:
            shop.echo.may_end.set()
            await shop.crew.close(5)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    asyncio.run(on_stage())


def test_a_job_for_a_crew_with_room_is_running_when_it_is_accepted_after_one_transaction(database: Database) -> None:
    async def scene(shop: Shop) -> None:
        first, second = await shop.accept(), await shop.accept()
        assert shop.writes == 2
        assert [await shop.state(each) for each in (first, second)] == ["running"] * 2
        assert shop.crew.lend() is None, "its room is all taken"
        third = await shop.accept()
        assert await shop.state(third) == "queued"
        shop.echo.may_end.set()

        async def all_done() -> bool:
            return [await shop.state(each) for each in (first, second, third)] == ["succeeded"] * 3

        await shop.until(all_done)

    play(database, scene)


def test_room_that_is_lent_is_lent_once_and_comes_back(database: Database) -> None:
    async def scene(shop: Shop) -> None:
        asked = shop.crew.lend()
        assert asked is not None
        assert asked.limit == 2
        assert shop.crew.lend() is None
        shop.crew.lose(asked, is_doubtful=False)
        await shop.until(shop.has_looked)  # it looks for itself, as it would have
        again = shop.crew.lend()
        assert again is not None
        assert again.token != asked.token
        shop.crew.fill(again, [])
        assert shop.crew.count == 0

    play(database, scene)


def test_a_crew_that_closes_lends_nothing_and_waits_for_what_it_has_lent(database: Database) -> None:
    async def scene(shop: Shop) -> None:
        asked = shop.crew.lend()
        assert asked is not None
        closing = asyncio.create_task(shop.crew.close(5))
        await asyncio.sleep(0.05)
        assert not closing.done()
        shop.crew.fill(asked, [])
        await closing
        assert shop.crew.lend() is None

    play(database, scene)


def test_how_a_run_came_out_waits_for_company_where_jobs_come_one_upon_the_other(database: Database) -> None:
    async def scene(shop: Shop) -> None:
        shop.echo.may_end.set()

        async def one() -> tuple[int, float]:
            """How many turns of the loop, and seconds, from the end of a job's run to the write that says so."""
            count, shop.echo.ended_s, turns = shop.writes, 0.0, 0
            await shop.accept()
            async with asyncio.timeout(20):
                while shop.writes < count + 3:  # it is accepted, claimed and settled
                    turns += shop.echo.ended_s > 0
                    await asyncio.sleep(0)
            return turns, shop.database.begun_s[-1] - shop.echo.ended_s

        shop.clock.advance(60)
        turns, _ = await one()
        assert turns < 20, "nobody else may come for long: it is written at once"
        shop.clock.advance(LINGER_S / 2)
        _, waited_s = await one()
        assert waited_s >= 0.9 * LINGER_S

    play(database, scene, lends=False)
