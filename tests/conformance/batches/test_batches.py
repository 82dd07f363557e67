"""Batches on both databases, from the order to the files; and killed at every write there is in between."""

import asyncio
import itertools
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.support.batch_world import BatchWorld, Killed, Mortal, done, given_up, lapse, line
from tests.support.clock import ManualClock
from tests.support.stamped import Stamped
from undercroft.batches.tending import Tending
from undercroft.batches.types import OVER, Batch, ItemInput
from undercroft.clock import SystemClock
from undercroft.errors import Conflict, InvalidRequest, NotFound
from undercroft.jobs.types import Outcome, Stopped
from undercroft.record import Usage
from undercroft.storage.engine import Database

LINES = [line(f"line-{number}") for number in range(10)]
NAMES = {f"line-{number}" for number in range(10)}
DAY_S = 86_400


@pytest.fixture
def world(database: Database, tmp_path: Path) -> BatchWorld:
    return BatchWorld(database, tmp_path, now(database))


def now(database: Database) -> ManualClock:
    """PostgreSQL has a clock of its own, which a manual one must not be behind of: leases and jobs go by it."""
    return ManualClock(SystemClock().now_us()) if database.dialect == "postgresql" else ManualClock()


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


def mixed(asked: ItemInput) -> Outcome:
    return given_up(asked) if asked.line == 3 else done(asked)


def test_every_line_becomes_a_job_and_a_line_of_a_file(world: BatchWorld) -> None:
    async def scene() -> None:
        batch = await world.order(*LINES, metadata={"a": "b"})
        await world.tending.tend()
        under_way = await world.find(batch)
        assert (under_way.status, under_way.total, under_way.fed, under_way.model) == ("in_progress", 10, 10, "m")
        assert await world.answer(4, mixed) == 4
        assert ((await world.find(batch)).completed, (await world.find(batch)).failed) == (3, 1)
        assert await world.answer(100, mixed) == 6
        await world.tending.tend()
        ended = await world.find(batch)
        assert (ended.status, ended.completed, ended.failed, ended.active) == ("completed", 9, 1, False)
        assert (ended.usage, ended.metadata) == (Usage(input=18, output=9), {"a": "b"})
        output, errors = await world.files_of(ended)
        assert [each["custom_id"] for each in output] == [f"line-{n}" for n in range(10) if n != 2]
        assert all(each["response"]["body"]["line"] == int(each["custom_id"][5:]) + 1 for each in output)
        assert [(each["custom_id"], each["error"]["code"]) for each in errors] == [("line-2", "upstream_invalid")]
        assert world.told() == {"batch.in_progress": 1, "batch.completed": 1}, "its jobs are not told one by one"
        assert world.count("items") == 0

    run(scene())


def test_jobs_of_a_batch_go_behind_all_others_under_the_key_of_its_maker(world: BatchWorld) -> None:
    async def scene() -> None:
        batch = await world.order(line("a"))
        await world.tending.tend()
        (job,) = await world.claim()
        assert (job.rank, job.key, job.kind) == (100, "key-1", "batch_item")
        assert job.lifetime_us <= batch.expires_us - batch.created_us
        assert world.told()["job.queued"] == 0

    run(scene())


def test_a_wrong_line_makes_no_job(world: BatchWorld) -> None:
    async def scene() -> None:
        batch = await world.order(line("a"), line("b", body={}), b"{")
        await world.tending.tend()
        ended = await world.find(batch)
        assert (ended.status, ended.active, ended.total) == ("failed", False, 0)
        assert [(each.line, each.code, each.param) for each in ended.errors] == [
            (2, "no_input", "body.input"),
            (3, "invalid_json_line", None),
        ]
        assert world.count("jobs") == 0
        assert world.told() == {"batch.failed": 1}

    run(scene())


def test_the_first_that_is_said_of_a_line_counts(world: BatchWorld) -> None:
    async def scene() -> None:
        batch = await world.order(line("a"))
        await world.tending.tend()
        taken = await world.claim()
        await world.settle(taken)
        assert await world.settle(taken, given_up) == [], "a stale run changes nothing"
        await world.tending.tend()
        ended = await world.find(batch)
        assert (ended.completed, ended.failed) == (1, 0)

    run(scene())


def test_cancelling_keeps_what_was_answered(world: BatchWorld) -> None:
    async def scene() -> None:
        batch = await world.order(*LINES)
        await world.tending.tend()
        await world.answer(3)
        running = await world.claim(2)
        assert (await world.desk.cancel("default", batch.id)).status == "cancelling"
        assert (await world.desk.cancel("default", batch.id)).status == "cancelling"
        await world.tending.tend()
        assert (await world.find(batch)).status == "cancelling", "two of its jobs still run"
        await world.settle(running, lambda _: Stopped())
        await world.tending.tend()
        ended = await world.find(batch)
        assert (ended.status, ended.completed, ended.failed) == ("cancelled", 3, 0)
        left = (await world.files_of(ended))[1]
        assert len(left) == 7
        assert {each["error"]["code"] for each in left} == {"batch_cancelled"}
        assert world.told()["batch.cancelled"] == 1
        with pytest.raises(Conflict):
            await world.desk.cancel("default", batch.id)

    run(scene())


def test_a_batch_that_is_cancelled_while_its_lines_are_read_asks_nothing(world: BatchWorld) -> None:
    async def scene() -> None:
        batch = await world.order(*LINES)
        await world.desk.cancel("default", batch.id)
        await world.tending.tend()
        ended = await world.find(batch)
        assert (ended.status, ended.output_file, ended.error_file) == ("cancelled", "", "")
        assert world.count("jobs") == 0

    run(scene())


def test_after_a_day_what_was_not_come_to_has_expired(world: BatchWorld) -> None:
    async def scene() -> None:
        batch = await world.order(*LINES)
        await world.tending.tend()
        await world.answer(3)
        world.clock.advance(DAY_S)
        await world.tending.tend()
        await world.tending.tend()  # after what runs has had a moment to stop
        ended = await world.find(batch)
        assert (ended.status, ended.completed, ended.failed) == ("expired", 3, 0)
        left = (await world.files_of(ended))[1]
        assert len(left) == 7
        assert {each["error"]["code"] for each in left} == {"batch_expired"}
        assert await world.claim() == []
        assert world.told()["batch.expired"] == 1

    run(scene())


def test_a_batch_that_nobody_saw_to_for_a_day_has_expired(world: BatchWorld) -> None:
    async def scene() -> None:
        batch = await world.order(*LINES)
        world.clock.advance(DAY_S)
        await world.tending.tend()
        assert (await world.find(batch)).status == "expired"

    run(scene())


def test_a_job_that_is_cancelled_by_itself_is_a_line_that_failed(world: BatchWorld) -> None:
    async def scene() -> None:
        batch = await world.order(line("a"), line("b"))
        await world.tending.tend()
        (job,) = await world.claim(1)
        await world.settle([job])
        (other,) = await world.claim(1)
        await world.cancel_job(other.id)
        await world.settle([other], lambda _: Stopped())
        await world.tending.tend()
        ended = await world.find(batch)
        assert ended.status == "completed"
        (left,) = (await world.files_of(ended))[1]
        assert left["error"]["code"] == "cancelled"

    run(scene())


def test_a_batch_whose_input_is_deleted_ends_with_what_it_has(world: BatchWorld) -> None:
    async def scene() -> None:
        batch = await world.order(*LINES)
        await world.files.delete("default", batch.input_file)
        await world.tending.tend()
        ended = await world.find(batch)
        assert (ended.status, [each.code for each in ended.errors]) == ("failed", ["input_file_gone"])

    run(scene())


def test_another_organisation_never_sees_or_cancels_a_batch(world: BatchWorld) -> None:
    async def scene() -> None:
        batch = await world.order(line("a"))
        assert await world.desk.page("theirs", after=None, limit=9) == []
        for attempt in (world.desk.find("theirs", batch.id), world.desk.cancel("theirs", batch.id)):
            with pytest.raises(NotFound):
                await attempt
        with pytest.raises(InvalidRequest):
            await world.desk.page("theirs", after=batch.id, limit=9)
        theirs = await world.order(line("b"), organisation="theirs")
        assert [each.id for each in await world.desk.page("default", after=None, limit=9)] == [batch.id]
        await world.tending.tend()
        assert {(await world.find(each)).status for each in (batch, theirs)} == {"in_progress"}

    run(scene())


def test_only_one_process_has_the_duty(database: Database, tmp_path: Path) -> None:
    async def scene() -> None:
        clock = now(database)
        mine, theirs = (BatchWorld(database, tmp_path, clock, life=life) for life in (1, 2))
        await mine.order(line("a"))
        await mine.tending.tend()
        batch = await mine.order(line("b"))
        await theirs.tending.tend()
        assert (await mine.find(batch)).status == "validating"
        await mine.tending.tend()
        assert (await mine.find(batch)).status == "in_progress"

    run(scene())


async def through(world: BatchWorld, batch: Batch) -> None:
    """To the end, three lines at a time."""
    while (await world.find(batch)).active:
        await world.tending.tend()
        await world.answer(3, mixed)


@pytest.mark.parametrize("when", ["before", "after"])
def test_whichever_write_a_process_is_killed_at_no_line_is_lost_and_none_is_recorded_twice(
    database: Database, tmp_path: Path, when: Literal["before", "after"]
) -> None:
    async def scene() -> None:
        clock = now(database)
        for at in itertools.count(4):  # the first three hand the order in
            lapse(database, clock)
            jobs, told = world_counts(database, tmp_path, clock)
            world = BatchWorld(database, tmp_path, clock, mortal=Mortal(database, at=at, when=when), life=at * 10)
            batch = await world.order(*LINES)
            try:
                await through(world, batch)
            except Killed:
                pass
            else:
                break
            heir = world.again()
            await through(heir, batch)
            ended = await heir.find(batch)
            assert ended.status in OVER, at
            assert (ended.completed, ended.failed, ended.total) == (9, 1, 10), at
            output, errors = await heir.files_of(ended)
            assert [each["custom_id"] for each in output] == [f"line-{n}" for n in range(10) if n != 2], at
            assert [each["custom_id"] for each in errors] == ["line-2"], at
            now_jobs, now_told = world_counts(database, tmp_path, clock)
            assert now_jobs - jobs == 10, f"killed at write {at}: other than one job a line"
            assert now_told["batch.completed"] - told["batch.completed"] == 1, at
            assert now_told["batch.in_progress"] - told["batch.in_progress"] == 1, at
            assert heir.count("items") == 0, at
        assert at > 25, "it was killed at every write"
        world = BatchWorld(database, tmp_path, clock)
        clock.advance(2 * DAY_S)
        assert await world.files.sweep() > 0, "what was half written is swept"
        assert world.count("files") == 3 * (at - 3), "of each batch its input, its answers and its errors are left"

    run(scene())


def world_counts(database: Database, folder: Path, clock: ManualClock) -> tuple[int, Any]:
    world = BatchWorld(database, folder, clock)
    return world.count("jobs"), world.told()


def test_nobody_looks_again_where_nothing_was_written_and_no_batch_is_under_way(world: BatchWorld) -> None:
    async def scene() -> None:
        database = Stamped(world.database)
        tending = Tending(database, world.duty, world.steps, clock=world.clock, stamp=database.stamp)
        await tending.tend()
        await tending.tend()
        assert database.reads == 1
        batch = await world.order(*LINES)
        database.written += 1
        await tending.tend()
        assert (await world.find(batch)).status == "in_progress"
        looked = database.reads
        await tending.tend()
        assert database.reads > looked, "one that is under way may expire by time alone"

    run(scene())
