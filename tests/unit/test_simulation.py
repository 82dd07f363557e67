"""The simulator itself: virtual time, repeatable runs, different seeds, and hangs that show."""

import asyncio

import pytest

from tests.support.simulation import Deadlock, SimulatedClock, SimulatedLoop, simulate


async def race(loop: SimulatedLoop) -> list[int]:
    order: list[int] = []

    async def runner(number: int) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        order.append(number)

    await asyncio.gather(*(runner(number) for number in range(6)))
    return order


def test_a_seed_replays_exactly() -> None:
    first, again = simulate(7, race), simulate(7, race)
    assert (first.result, first.digest, first.steps) == (again.result, again.digest, again.steps)


def test_seeds_differ_in_their_order() -> None:
    assert len({tuple(simulate(seed, race).result) for seed in range(20)}) > 5


def test_an_hour_passes_at_once() -> None:
    async def world(loop: SimulatedLoop) -> float:
        clock = SimulatedClock(loop)
        before = clock.now_us()
        await clock.sleep(3600)
        return (clock.now_us() - before) / 1e6

    assert simulate(1, world).result == 3600


def test_threads_finish_at_some_later_moment() -> None:
    async def world(loop: SimulatedLoop) -> float:
        await asyncio.to_thread(lambda: None)
        return loop.time()

    assert 0 < simulate(1, world).result < 1


def test_a_hang_is_reported_instead_of_hanging() -> None:
    async def world(loop: SimulatedLoop) -> None:
        await loop.create_future()

    with pytest.raises(Deadlock):
        simulate(1, world)
