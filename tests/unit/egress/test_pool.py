"""Who gets a connection: turns that cross with callers leaving, without a socket."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from undercroft.egress.connection import Connection
from undercroft.egress.pool import Pool
from undercroft.errors import Unavailable, UpstreamUnreachable


def new_connection() -> Connection:
    return Connection(name="upstream", keep_alive_s=30, loop=asyncio.get_running_loop())


async def dialled(_pool: Pool, _connect_s: float | None) -> Connection:
    return new_connection()


def pool_of(
    size: int, dial: Callable[[Pool, float | None], Awaitable[Connection]] = dialled, *, max_waiting: int = 10
) -> Pool:
    return Pool(
        name="upstream",
        dial=dial,
        forget=lambda connection: None,
        max_connections=size,
        max_waiting=max_waiting,
    )


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_released_connection_goes_to_whoever_waits_longest() -> None:
    async def scenario() -> None:
        pool = pool_of(1)
        connection = await pool.acquire(wait_s=1)
        first, second = (asyncio.create_task(pool.acquire(wait_s=1)) for _ in range(2))
        await turns()
        pool.released(connection)
        assert pool.take() is None
        assert await first is connection
        pool.released(connection)
        assert await second is connection

    asyncio.run(scenario())


def test_the_place_of_a_lost_connection_goes_to_whoever_waits_longest() -> None:
    async def scenario() -> None:
        pool = pool_of(1)
        connection = await pool.acquire(wait_s=1)
        waiting = asyncio.create_task(pool.acquire(wait_s=1))
        await turns()
        pool.lost(connection)
        assert await waiting is not connection

    asyncio.run(scenario())


@pytest.mark.parametrize("end", ["released", "lost"])
def test_a_turn_that_comes_in_the_moment_its_caller_leaves_is_passed_on(end: str) -> None:
    async def scenario() -> None:
        pool = pool_of(1)
        connection = await pool.acquire(wait_s=1)
        leaving, staying = (asyncio.create_task(pool.acquire(wait_s=1)) for _ in range(2))
        await turns()
        getattr(pool, end)(connection)
        leaving.cancel()
        assert (await staying is connection) == (end == "released")
        assert leaving.cancelled()

    asyncio.run(scenario())


def test_a_failed_attempt_gives_its_place_back() -> None:
    async def scenario() -> None:
        outcomes = [UpstreamUnreachable("refused"), None, None]

        async def dial(_pool: Pool, _connect_s: float | None) -> Connection:
            await asyncio.sleep(0)
            if (outcome := outcomes.pop(0)) is not None:
                raise outcome
            return new_connection()

        pool = pool_of(1, dial)
        failing = asyncio.create_task(pool.acquire(wait_s=1))
        waiting = asyncio.create_task(pool.acquire(wait_s=1))
        with pytest.raises(UpstreamUnreachable):
            await failing
        first = await waiting
        pool.lost(first)
        assert await pool.acquire(wait_s=1) is not first

    asyncio.run(scenario())


def test_the_queue_is_bounded_and_those_who_left_do_not_count() -> None:
    async def scenario() -> None:
        pool = pool_of(1, max_waiting=1)
        connection = await pool.acquire(wait_s=1)
        for _ in range(3):
            leaving = asyncio.create_task(pool.acquire(wait_s=1))
            await turns()
            with pytest.raises(Unavailable):
                await pool.acquire(wait_s=1)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        pool.released(connection)
        assert pool.take() is connection

    asyncio.run(scenario())


def test_a_lost_idle_connection_is_not_handed_out() -> None:
    async def scenario() -> None:
        pool = pool_of(2)
        old, new = await pool.acquire(wait_s=1), await pool.acquire(wait_s=1)
        pool.released(old)
        pool.released(new)
        pool.lost(new)
        assert pool.take() is old
        assert pool.take() is None

    asyncio.run(scenario())
