"""The database as a running server sees it: what was written elsewhere is noticed, and an idle one is left alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.clock import ManualClock
from undercroft.access.keys import KeyRing
from undercroft.assembly.database import POLL_S, UNCHANGED_S, DatabaseLink
from undercroft.clock import SystemClock
from undercroft.ledger.limit_book import LimitBook
from undercroft.settings.model import Settings
from undercroft.storage import versions
from undercroft.storage.engine import Database, open_database

COUNTER = "tested"


def bump(database: Database) -> None:
    database.write_sync(lambda connection: versions.bump(connection, COUNTER))


class Server:
    """A link with a thing in memory that is read when its counter has moved."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.link = DatabaseLink(Settings(data_dir=folder), keys=KeyRing(), limits=LimitBook(), clock=self.clock)
        self.versions: list[int] = []
        self.link.follow(COUNTER, self._read)

    async def _read(self, database: Database, version: int) -> None:
        self.versions.append(version)

    async def turn(self, seconds: float = POLL_S) -> None:
        """Lets the watch look once more."""
        await self._rests()
        self.clock.advance(seconds * 1.05)
        await asyncio.sleep(0)
        await self._rests()

    async def _rests(self) -> None:
        while not self.clock.is_awaited:  # noqa: ASYNC110 - a clock has no event
            await asyncio.sleep(0.001)


@asynccontextmanager
async def another(folder: Path) -> AsyncIterator[Database]:
    """What another process has of the same file."""
    database = await asyncio.to_thread(open_database, None, data_dir=folder, pool_size=1, clock=SystemClock())
    try:
        yield database
    finally:
        await asyncio.to_thread(database.close)


def play(folder: Path, scene: Callable[[Server, Database], Awaitable[None]]) -> None:
    async def run() -> None:
        server = Server(folder)
        async with server.link.running():
            await server.link.first_look()
            async with another(folder) as database:
                await server.turn()
                await scene(server, database)

    asyncio.run(run())


def test_what_another_process_has_written_is_seen_at_the_next_look(tmp_path: Path) -> None:
    async def scene(server: Server, other: Database) -> None:
        assert server.versions == [0]
        await asyncio.to_thread(bump, other)
        await server.turn()
        assert server.versions == [0, 1]

    play(tmp_path, scene)


def test_where_nothing_was_written_nothing_is_read_for_a_while(tmp_path: Path) -> None:
    async def scene(server: Server, other: Database) -> None:
        database, looks = server.link.database(), []
        state = database.state

        async def counted() -> object:
            looks.append(True)
            return await state()

        database.state = counted  # type: ignore[method-assign,assignment]  # only looked at
        for _ in range(3):
            await server.turn()
        assert len(looks) <= 1, "the first may have met what the other process wrote as it opened the file"
        await server.turn(UNCHANGED_S)
        assert len(looks) >= 1, "a disk that has gone tells nobody"

    play(tmp_path, scene)


def test_the_stamp_tells_of_all_writes_but_those_aside(tmp_path: Path) -> None:
    async def scene(server: Server, other: Database) -> None:
        link = server.link
        first = await link.stamp()
        assert await link.stamp() == first
        await link.aside.write(lambda connection: versions.bump(connection, COUNTER))
        assert await link.stamp() == first
        await link.write(lambda connection: versions.bump(connection, COUNTER))
        second = await link.stamp()
        assert second != first
        await asyncio.to_thread(bump, other)
        assert await link.stamp() not in (first, second)
        assert len(set(await asyncio.gather(*(link.stamp() for _ in range(5))))) == 1

    play(tmp_path, scene)


def test_a_stamp_that_is_asked_for_behind_a_write_counts_it(tmp_path: Path) -> None:
    async def scene(server: Server, other: Database) -> None:
        link = server.link
        early = asyncio.ensure_future(link.stamp())
        await asyncio.sleep(0)
        writing = asyncio.ensure_future(link.write(lambda connection: versions.bump(connection, COUNTER)))
        await asyncio.sleep(0)
        late = await link.stamp()
        assert late != await early
        assert await link.read(versions.current) == {COUNTER: 1}, "what the stamp counts is there to be read"
        await writing

    play(tmp_path, scene)
