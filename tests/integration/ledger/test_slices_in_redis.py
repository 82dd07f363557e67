"""Slices in a real Redis: the database's answers, few questions, and what is left when it has lost everything."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from pathlib import Path

import msgspec
import pytest

from tests.support.databases import migrated
from tests.support.redis import running_redis
from undercroft.clock import SystemClock
from undercroft.errors import RateLimited, Unavailable
from undercroft.ledger.allowances import Allowances
from undercroft.ledger.limits import Limit
from undercroft.ledger.slice_stores.redis import RedisSliceStore
from undercroft.ledger.slice_stores.sql import SqlSliceStore
from undercroft.ledger.slices import Slice, SliceStore, Window
from undercroft.record import Who

RATE = Limit(scope="key", measure="requests", amount=1000, period="day")
WINDOW = RATE.window(Who(key="k1"), 0)
LIMIT = 1000
STEPS = 40
SEEDS = 10


async def nothing(window: Window) -> int:
    return 0


def in_redis(url: str, work: Callable[[RedisSliceStore], Awaitable[None]], **options: object) -> None:
    async def run() -> None:
        store = RedisSliceStore(url, clock=SystemClock(), **{"before": nothing, **options})  # type: ignore[arg-type]  # its own
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(run())


async def told(store: SliceStore, seed: int, window: Window) -> list[object]:
    """What the store says to so many things that owners ask in an order that the seed decides."""
    rng, answers = random.Random(seed), list[object]()
    held = {name: Slice(window=window, owner=f"{name}-{seed}") for name in "abc"}
    for _ in range(STEPS):
        name = rng.choice("abc")
        mine = held[name]
        verb, amount, forgets = rng.choice(("lease", "give back", "settle")), rng.randint(1, 400), rng.random() < 0.2
        if verb == "lease":
            answer = await store.lease(mine, amount, limit=LIMIT)
        elif verb == "give back":
            answer = await store.give_back(mine, min(amount, mine.amount))
        else:
            answers.append(await store.settle(mine, min(amount, mine.amount)))
            held[name] = Slice(window=window, owner=f"{mine.owner}+") if answers[-1] else mine
            continue
        answers.append(None if answer is None else (answer.amount, answer.taken, bool(answer.token)))
        if answer is None:
            held[name] = Slice(window=window, owner=f"{mine.owner}+")
        elif not forgets:
            held[name] = answer
    return answers


def test_redis_answers_as_the_database_does(redis_url: str, tmp_path: Path) -> None:
    """One sequence after the other, answers lost in between: amounts, sums and refusals are the same."""
    with migrated(None, tmp_path, pool_size=2) as database:

        async def compare(store: RedisSliceStore) -> None:
            other = SqlSliceStore(database, clock=SystemClock())
            for seed in range(SEEDS):
                window = msgspec.structs.replace(WINDOW, name=f"requests|key|{seed}||day")
                assert await told(store, seed, window) == await told(other, seed, window), f"seed {seed}"

        in_redis(redis_url, compare)


class Counting(RedisSliceStore):
    """Knows how often it was asked for anything that a call waits for."""

    asked = 0

    async def _changed(self, *words: object) -> Slice | None:
        self.asked += 1
        return await super()._changed(*words)  # type: ignore[arg-type]  # as it came


def test_a_call_in_ten_at_most_asks_redis(redis_url: str) -> None:
    limit = msgspec.structs.replace(RATE, amount=4000)

    async def spend() -> None:
        stores = [Counting(redis_url, clock=SystemClock(), before=nothing) for _ in range(4)]
        processes = [
            Allowances(store, owner=f"p{place}", clock=SystemClock(), spent_by=lambda _: _none())
            for place, store in enumerate(stores)
        ]
        for number in range(2000):
            hold = await processes[number % 4].hold([(limit, WINDOW, 1)])
            hold.settle(tokens=0, cost_nano=0)
        asked = sum(store.asked for store in stores)
        for store in stores:
            await store.close()
        assert asked <= 2000 / 10, f"2000 calls asked {asked} times"

    asyncio.run(spend())


async def _none() -> int | None:
    return None


def test_callers_of_many_processes_are_never_let_in_beyond_the_limit(redis_url: str) -> None:
    async def spend() -> None:
        stores = [RedisSliceStore(redis_url, clock=SystemClock(), before=nothing) for _ in range(4)]
        processes = [
            Allowances(store, owner=f"p{place}", clock=SystemClock(), spent_by=lambda _: _none())
            for place, store in enumerate(stores)
        ]
        under_way, most, let_in = 0, 0, count()
        places = Limit(scope="key", measure="concurrent", amount=17)
        at = places.window(Who(key="k1"), 0)

        async def caller(number: int) -> None:
            nonlocal under_way, most
            for turn in range(8):
                try:
                    hold = await processes[(number + turn) % 4].hold([(places, at, 1), (RATE, WINDOW, 1)])
                except RateLimited:
                    continue
                next(let_in)
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(0)
                under_way -= 1
                hold.settle(tokens=0, cost_nano=0)

        await asyncio.gather(*(caller(number) for number in range(200)))
        assert 0 < most <= 17
        assert 0 < next(let_in) <= 1000
        for process, store in zip(processes, stores, strict=True):
            await process.close()
            assert await store.freeze() == []
            await store.close()

    asyncio.run(spend())


def test_what_redis_has_lost_is_made_up_from_the_ledger_and_from_those_who_hold_it() -> None:
    with running_redis() as server:

        async def story() -> None:
            booked = 0

            async def before(window: Window) -> int:
                return booked

            made = partial(RedisSliceStore, server.url, clock=SystemClock(), before=before)
            stores = first, second, late = made(), made(), made()
            mine = await first.lease(Slice(window=WINDOW, owner="first"), 300, limit=LIMIT)
            other = await second.lease(Slice(window=WINDOW, owner="second"), 200, limit=LIMIT)
            assert mine is not None
            assert other is not None
            server.kill()
            with pytest.raises(Unavailable, match="away"):
                await first.lease(mine, 1, limit=LIMIT)
            server.start()  # empty
            booked = 50
            await asyncio.sleep(1.1)
            mine = await first.lease(mine, 100, limit=LIMIT)
            other = await second.lease(other, 0, limit=LIMIT)
            assert mine is not None
            assert other is not None
            assert (mine.amount, mine.taken) == (400, 450)
            assert other.amount >= 200
            beyond = await late.lease(Slice(window=WINDOW, owner="late"), LIMIT - other.taken + 1, limit=LIMIT)
            assert beyond is not None
            assert beyond.amount == 0
            for store in stores:
                await store.close()

        asyncio.run(story())


def test_without_redis_a_process_takes_its_own_share() -> None:
    with running_redis() as server:

        async def story() -> None:
            store = RedisSliceStore(server.url, clock=SystemClock(), before=nothing)
            alone = Allowances(store, owner="me", clock=SystemClock(), spent_by=lambda _: _none())
            server.kill()
            limit = Limit(scope="key", measure="requests", amount=3, period="day")
            for _ in range(3):
                (await alone.hold([(limit, WINDOW, 1)])).settle(tokens=0, cost_nano=0)
            with pytest.raises(RateLimited):
                await alone.hold([(limit, WINDOW, 1)])
            await store.close()

        asyncio.run(story())
