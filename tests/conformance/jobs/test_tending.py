"""What is looked for beside the running of jobs, and when nobody need look."""

import asyncio
from typing import Any

from tests.support.clock import ManualClock
from tests.support.jobs import JobRows
from tests.support.stamped import Stamped
from undercroft.jobs.schedules import Schedules
from undercroft.jobs.tending import LOOK_S, Keep, Tending


def test_nobody_looks_again_where_nothing_was_written_and_nothing_waits(rows: JobRows) -> None:
    woken: list[bool] = []
    clock, database = ManualClock(rows.moment.wall_us), Stamped(rows.database)
    parts: dict[str, Any] = {"effects": rows.effects, "owners": None, "clock": clock}
    nothing = Schedules([], make=lambda _: None, clock=clock)  # type: ignore[arg-type,return-value]  # never called
    keep = Keep(keep_us=10**15, keep_dead_us=10**15)
    tending = Tending(
        database, schedules=nothing, keep=keep, wake=lambda: woken.append(True), stamp=database.stamp, **parts
    )

    async def rests() -> None:
        while not clock.is_awaited:  # noqa: ASYNC110 - a clock has no event
            await asyncio.sleep(0.001)

    async def looks(count: int) -> int:
        """How often the database was read in so many turns."""
        before = database.reads
        for _ in range(count):
            await rests()
            clock.advance(LOOK_S * 1.1)
            await asyncio.sleep(0)
        await rests()
        return database.reads - before

    async def scene() -> None:
        running = asyncio.create_task(tending.run())
        await looks(2)  # what was forgotten at the start was a write
        assert await looks(5) == 0
        await asyncio.to_thread(rows.accept)
        database.written += 1
        assert (await looks(2) > 0, bool(woken)) == (True, True)
        assert await looks(3) >= 3, "a job that waits is looked after"
        running.cancel()

    asyncio.run(scene())
