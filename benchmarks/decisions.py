"""What the gateway's own bookkeeping takes, without a network: a record's way to the disk, a budget's hold.

usage: python -m benchmarks.decisions
"""

import asyncio
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.support.memory_slices import MemorySlices
from tests.support.redis import running_redis
from undercroft.clock import SystemClock
from undercroft.ids import Ids
from undercroft.ledger.allowances import Allowances
from undercroft.ledger.limits import Limit
from undercroft.ledger.slice_stores.redis import RedisSliceStore
from undercroft.ledger.slices import Slice, Window
from undercroft.ledger.spool import Spool
from undercroft.record import CallRecord, Usage, Who

ROUNDS: Final = 7
TIMES: Final = 20_000
CALLS: Final = 5000
PROCESSES: Final = 4
WHO: Final = Who(key="k1")
BUDGET: Final = Limit(scope="key", measure="spend", amount=10**15)
RECORD: Final = CallRecord(
    id="req_0192f0c1d2e3a4b5c6d7e8f901234567",
    started_us=1_767_225_600_000_000,
    duration_us=51_234,
    who=WHO,
    endpoint="/v1/chat/completions",
    model="plain",
    provider="openai_compatible",
    deployment="plain/0",
    upstream_model="bench-1",
    attempts=1,
    usage=Usage(input=120, output=90),
    cost_nano=210_000,
    price="settings 0.25/2",
)


def each_us(work: Callable[[], None], *, times: int = TIMES) -> float:
    """Microseconds of one of so many: the median of some rounds."""
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        took.append((time.perf_counter() - started) / times * 1e6)
    return statistics.median(took)


def record_us() -> float:
    """One record, from the value to where kill -9 cannot take it."""
    with TemporaryDirectory() as folder:
        clock = SystemClock()
        spool = Spool(Path(folder), clock=clock, ids=Ids(clock))

        def append() -> None:
            for _ in range(TIMES):
                spool.append(RECORD)

        try:
            return each_us(append)
        finally:
            asyncio.run(spool.close())


def budget_us() -> float:
    """One hold with what it takes to settle it, of what the process has leased."""
    loop = asyncio.new_event_loop()
    clock = SystemClock()
    allowances = Allowances(MemorySlices(), owner="bench", clock=clock, spent_by=unknown)
    needs = [(BUDGET, BUDGET.window(WHO, clock.now_us()), 1000)]

    async def spend() -> None:
        for _ in range(TIMES):
            hold = await allowances.hold(needs)
            hold.settle(tokens=210, cost_nano=210)

    try:
        return each_us(lambda: loop.run_until_complete(spend()))
    finally:
        loop.close()


async def redis_per_call() -> float:
    """How often Redis is asked for calls that four processes share, within a limit that nearly all of them use up."""
    limit = Limit(scope="key", measure="requests", amount=CALLS + CALLS // 10, period="total")
    window = limit.window(WHO, 0)
    with running_redis() as server:
        stores = [Counting(server.url, clock=SystemClock(), before=nothing) for _ in range(PROCESSES)]
        processes = [
            Allowances(store, owner=f"p{place}", clock=SystemClock(), spent_by=unknown)
            for place, store in enumerate(stores)
        ]
        for number in range(CALLS):
            hold = await processes[number % PROCESSES].hold([(limit, window, 1)])
            hold.settle(tokens=0, cost_nano=0)
        for store in stores:
            await store.close()
    return sum(store.asked for store in stores) / CALLS


class Counting(RedisSliceStore):
    """Knows how often calls have waited for it."""

    asked = 0

    async def lease(self, held: Slice, requested: int, *, limit: int) -> Slice | None:
        self.asked += 1
        return await super().lease(held, requested, limit=limit)


async def nothing(_: Window) -> int:
    return 0


async def unknown(_: Slice) -> int | None:
    return None


def measured() -> dict[str, float]:
    """Everything."""
    return {"record_us": record_us(), "budget_us": budget_us(), "redis_per_call": asyncio.run(redis_per_call())}


if __name__ == "__main__":
    print(json.dumps(measured(), indent=1))  # noqa: T201
