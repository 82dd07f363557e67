"""The simulator itself: virtual time, repeatable runs, different seeds, and hangs that show."""

import asyncio

import pytest

from tests.support.simulation import Deadlock, SimulatedClock, SimulatedLoop, SimulatedProcess, simulate


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


async def ticking(said: list[str], name: str) -> None:
    try:
        while True:
            await asyncio.sleep(1)
            said.append(name)
    finally:
        said.append(f"{name} cleaned up")


def test_a_killed_process_does_nothing_more_and_what_it_began_goes_with_it() -> None:
    async def world(loop: SimulatedLoop) -> list[str]:
        said: list[str] = []
        process = SimulatedProcess(loop)

        async def main() -> None:
            child = asyncio.create_task(ticking(said, "child"))
            await asyncio.gather(child, ticking(said, "main"))

        process.start(main())
        await asyncio.sleep(2.5)
        process.kill()
        await asyncio.sleep(10)
        return sorted(said)

    assert simulate(1, world).result == ["child", "child", "main", "main"]


def test_a_stopped_process_goes_on_where_it_was() -> None:
    async def world(loop: SimulatedLoop) -> list[float]:
        moments: list[float] = []
        process = SimulatedProcess(loop)

        async def main() -> None:
            for _ in range(3):
                await asyncio.sleep(1)
                moments.append(loop.time())

        process.start(main())
        await asyncio.sleep(1.5)
        process.stop()
        await asyncio.sleep(10)
        process.resume()
        await asyncio.sleep(5)
        return moments

    assert simulate(1, world).result == [1, 11.5, 12.5]


def test_a_process_tells_what_its_tasks_crashed_with() -> None:
    async def world(loop: SimulatedLoop) -> list[str]:
        async def crash() -> None:
            raise LookupError("lost")

        process = SimulatedProcess(loop)
        process.start(crash())
        await asyncio.sleep(1)
        return [repr(error) for error in process.crashes]

    assert simulate(1, world).result == ["LookupError('lost')"]
