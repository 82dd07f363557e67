"""What every Database owes: transactions, snapshots, bounded waits, clean ends."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from undercroft.errors import Unavailable
from undercroft.storage import versions
from undercroft.storage.engine import Database
from undercroft.storage.schema import organisations
from undercroft.storage.schema import versions as table
from undercroft.storage.transaction import Work


def put(name: str) -> Work[None]:
    def work(connection: Connection) -> None:
        connection.execute(table.insert().values(name=name, counter=1))

    return work


def names(connection: Connection) -> set[str]:
    return set(connection.scalars(select(table.c.name)))


def test_a_write_returns_what_the_work_returns_and_a_read_sees_it(database: Database) -> None:
    async def scenario() -> tuple[int | None, set[str]]:
        await database.write(put("a"))
        count = await database.write(lambda connection: connection.scalar(select(func.count()).select_from(table)))
        return count, await database.read(names)

    assert asyncio.run(scenario()) == (1, {"a"})


def test_a_work_that_raises_leaves_nothing_and_its_error_arrives_unchanged(database: Database) -> None:
    class Stop(Exception):
        pass

    def work(connection: Connection) -> None:
        put("half")(connection)
        raise Stop

    with pytest.raises(Stop):
        asyncio.run(database.write(work))
    with pytest.raises(Stop):
        database.write_sync(work)
    assert database.read_sync(names) == set()


def test_one_failing_work_among_many_takes_nobody_with_it(database: Database) -> None:
    """With group commit all of these may share a transaction."""

    async def scenario() -> list[object]:
        works = [put("twice" if number % 5 == 0 else f"n{number}") for number in range(50)]
        return await asyncio.gather(*(database.write(work) for work in works), return_exceptions=True)

    outcomes = asyncio.run(scenario())
    failed = [outcome for outcome in outcomes if outcome is not None]
    assert len(failed) == 9
    assert all(isinstance(outcome, IntegrityError) for outcome in failed)
    assert database.read_sync(names) == {"twice"} | {f"n{number}" for number in range(50) if number % 5}


def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(SQLAlchemyError, match=r"read-?only"):
        database.read_sync(put("a"))
    database.write_sync(put("a"))


def test_a_read_sees_one_moment_while_others_write(database: Database) -> None:
    begun, written = threading.Event(), threading.Event()

    def twice(connection: Connection) -> tuple[set[str], set[str]]:
        before = names(connection)
        begun.set()
        assert written.wait(10)
        return before, names(connection)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(database.read_sync, twice)
        assert begun.wait(10)
        database.write_sync(put("late"))
        written.set()
        assert reading.result(10) == (set(), set())
    assert database.read_sync(names) == {"late"}


def test_nothing_is_lost_or_doubled_by_many_threads_at_once(database: Database) -> None:
    def writer(thread: int) -> None:
        for number in range(25):
            database.write_sync(put(f"{thread}.{number}"))
            database.write_sync(lambda connection: versions.bump(connection, "total"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(writer, range(8)))
    found = database.read_sync(versions.current)
    assert found.pop("total") == 200
    assert set(found) == {f"{thread}.{number}" for thread in range(8) for number in range(25)}


def test_a_write_whose_caller_left_before_its_turn_is_not_done(database: Database) -> None:
    async def scenario() -> None:
        holding, let_go = threading.Event(), threading.Event()

        def hold(_: Connection) -> None:
            holding.set()
            assert let_go.wait(10)

        # As many as could run at once, so that the next one has to wait.
        held = [asyncio.create_task(database.write(hold)) for _ in range(4)]
        await asyncio.to_thread(holding.wait, 10)
        leaving = asyncio.create_task(database.write(put("left")))
        await asyncio.sleep(0.05)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        let_go.set()
        await asyncio.gather(*held)

    asyncio.run(scenario())
    database.write_sync(put("after"))
    assert database.read_sync(names) == {"after"}


def test_a_foreign_key_is_enforced(database: Database) -> None:
    with pytest.raises(IntegrityError):
        database.write_sync(lambda connection: connection.execute(organisations.delete()))


def test_what_was_accepted_is_done_before_closing_and_nothing_after(database: Database) -> None:
    async def scenario() -> None:
        writes = [asyncio.create_task(database.write(put(f"n{number}"))) for number in range(20)]
        await asyncio.sleep(0)  # every task has handed in its work
        await asyncio.to_thread(database.close)
        await asyncio.gather(*writes)
        with pytest.raises(Unavailable):
            await database.write(put("late"))
        with pytest.raises(Unavailable):
            await database.read(names)

    asyncio.run(scenario())


def test_closing_twice_is_no_error(database: Database) -> None:
    database.close()
    database.close()
