import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.clock import ManualClock
from tests.support.responses import NOW_US, Answerer, Flaky, kept, order
from undercroft.errors import Unavailable
from undercroft.responses.backgrounds.in_process import InProcess
from undercroft.responses.shelf import Shelf
from undercroft.storage.engine import Database, open_database


class Bench:
    """A Background over SQLite and a clock that is moved by hand."""

    def __init__(self, database: Database, *, queue: int = 10, at_once: int = 4, pieces: int = 2) -> None:
        self.clock = ManualClock(NOW_US)
        self.database = Flaky(database)
        self.shelf = Shelf(self.database, clock=self.clock)
        self.answerer = Answerer(pieces)
        self.background = self.another(owner="me", queue=queue, at_once=at_once)

    def another(self, *, owner: str, queue: int = 10, at_once: int = 4) -> InProcess:
        """Another process's."""
        return InProcess(
            self.database, self.shelf, self.answerer,
            owner=owner, at_once=at_once, queue=queue, timeout_s=60.0, clock=self.clock,
        )  # fmt: skip

    async def status(self, id: str = "resp_1") -> str:
        return (await self.shelf.find("default", id)).ended.status

    async def until(self, reached: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        """Lets everything go on until it is so."""
        async with asyncio.timeout(20):
            while not await reached():
                self.clock.advance(0.1)
                await asyncio.sleep(0.001)

    async def ended(self, status: str, id: str = "resp_1") -> bytes:
        async def reached() -> bool:
            return await self.status(id) == status

        await self.until(reached)
        return (await self.shelf.find("default", id)).ended.body

    async def asked(self) -> None:
        """Returns when the answer has been begun."""

        async def begun() -> bool:
            return bool(self.answerer.asked)

        await self.until(begun)

    def let(self, pieces: int = 3) -> None:
        for _ in range(pieces):
            self.answerer.go.release()


@asynccontextmanager
async def bench(folder: Path, **options: Any) -> AsyncGenerator[Bench, None]:
    clock = ManualClock(NOW_US)
    database = open_database(None, data_dir=folder, pool_size=1, clock=clock)
    made = Bench(database, **options)
    try:
        async with made.background.running():
            yield made
    finally:
        database.close()


def test_an_accepted_response_is_answered_though_nobody_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as b:
            await b.background.accept(*order())
            assert await b.status() in ("queued", "in_progress")
            await b.ended("in_progress")
            b.let()
            body = msgspec.json.decode(await b.ended("completed"))
            assert body["id"] == "resp_1"
            assert b.answerer.closed == 1

    asyncio.run(scenario())


def test_followers_read_every_event_from_where_they_begin(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as b:
            asked, row = order()
            await b.background.accept(asked, row)

            async def read(after: int) -> list[bytes]:
                return [event.split(b"\n")[0] async for event in b.background.follow(row, after=after)]

            early = [asyncio.create_task(read(-1)), asyncio.create_task(read(2))]
            b.let(1)
            await asyncio.sleep(0)
            b.let()
            everything = [
                b"event: response.created", b"event: response.queued",
                b"event: piece", b"event: piece", b"event: response.completed",
            ]  # fmt: skip
            assert await early[0] == everything
            assert await early[1] == everything[3:]
            assert await b.status() == "completed", "it is stored before its last event is told"
            assert await read(-1) == everything, "from the database, once nobody holds it in memory"
            assert await read(3) == everything[4:]

    asyncio.run(scenario())


def test_another_process_follows_what_the_first_has_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as b:
            asked, row = order()
            await b.background.accept(asked, row)
            other = b.another(owner="other")
            seen: list[bytes] = []

            async def read() -> None:
                async for event in other.follow(row, after=-1):
                    seen.append(event)  # noqa: PERF401 - as they come

            reading = asyncio.create_task(read())

            async def begun() -> bool:
                return len(seen) >= 2

            await b.until(begun)
            assert not reading.done()
            b.let()

            async def over() -> bool:
                return reading.done()

            await b.until(over)
            assert len(seen) == 5

    asyncio.run(scenario())


def test_cancelling_stops_the_answer_and_is_final(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as b:
            asked, row = order()
            await b.background.accept(asked, row)
            await b.asked()
            await b.background.cancel(row)
            assert await b.status() == "cancelled"
            assert b.answerer.closed == 1
            events = [event async for event in b.background.follow(row, after=-1)]
            assert events[-1].startswith(b"event: response.failed\n")
            assert b'"status":"cancelled"' in events[-1]

    asyncio.run(scenario())


def test_one_cancelled_at_once_is_cancelled_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as b:
            asked, row = order()
            await b.background.accept(asked, row)
            await b.background.cancel(row)
            assert await b.status() == "cancelled"

    asyncio.run(scenario())


def test_cancelled_at_another_process_it_is_given_up_at_the_next_beat(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as b:
            asked, row = order()
            await b.background.accept(asked, row)
            await b.asked()
            await b.another(owner="other").cancel(row)
            assert await b.status() == "cancelled"

            async def given_up() -> bool:
                return b.answerer.closed == 1

            await b.until(given_up)
            assert await b.status() == "cancelled"

    asyncio.run(scenario())


def test_shutting_down_leaves_nothing_in_progress(tmp_path: Path) -> None:
    async def scenario() -> None:
        database = open_database(None, data_dir=tmp_path, pool_size=1, clock=ManualClock(NOW_US))
        b = Bench(database, at_once=1)
        async with b.background.running():
            for each in ("resp_1", "resp_2"):
                await b.background.accept(*order(each))
            await b.ended("in_progress")
        for each in ("resp_1", "resp_2"):
            assert await b.status(each) == "failed"
        with pytest.raises(Unavailable):
            await b.background.accept(*order("resp_3"))
        database.close()

    asyncio.run(scenario())


def test_a_mistake_of_ours_ends_in_failed_and_tells_nothing_of_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as b:
            b.answerer.raises = RuntimeError("a secret of ours")
            b.let()
            await b.background.accept(*order())
            body = await b.ended("failed")
            assert b"a secret of ours" not in body
            assert msgspec.json.decode(body)["error"]["code"] == "server_error"

    asyncio.run(scenario())


def test_as_many_run_as_may_and_the_others_wait(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path, at_once=1, queue=2) as b:
            for each in ("resp_1", "resp_2"):
                await b.background.accept(*order(each))
            with pytest.raises(Unavailable) as full:
                await b.background.accept(*order("resp_3"))
            assert full.value.code == "background_full"
            await b.ended("in_progress")
            assert await b.status("resp_2") == "queued"
            b.let()
            await b.ended("completed")
            b.let()
            await b.ended("completed", "resp_2")
            await b.background.accept(*order("resp_3"))

    asyncio.run(scenario())


def test_what_cannot_be_stored_is_not_accepted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path, queue=1) as b:
            b.database.is_away = True
            with pytest.raises(Unavailable):
                await b.background.accept(*order())
            b.database.is_away = False
            await b.background.accept(*order())
            assert len(b.answerer.asked) <= 1

    asyncio.run(scenario())


def test_an_answer_outlives_a_database_that_comes_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as b:
            await b.background.accept(*order())
            await b.asked()
            b.database.is_away = True
            b.let()

            async def answered() -> bool:
                return b.answerer.closed == 1

            await b.until(answered)
            b.clock.advance(2.0)
            await asyncio.sleep(0.01)
            b.database.is_away = False
            await b.ended("completed")

    asyncio.run(scenario())


def test_expired_responses_are_deleted_by_the_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as b:
            await b.shelf.keep(kept("resp_old", expires_us=NOW_US + 1_000_000))
            b.clock.advance(700.0)

            async def gone() -> bool:
                return (
                    await b.database.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM responses").scalar()) == 0
                )

            await b.until(gone)

    asyncio.run(scenario())
