"""Processes of the product that share a budget, while they die, stop and lose their database."""

import asyncio
from collections import Counter
from typing import Any

from tests.support.simulated_database import simulated_database
from tests.support.simulation import SimulatedLoop, SimulatedProcess
from tests.support.slice_world import BUDGET, BUSY_S, LARGEST, QUIET_S, WINDOW, World
from undercroft.errors import BudgetSpent, Unavailable
from undercroft.ledger.allowances import Allowances
from undercroft.ledger.slices import Slice
from undercroft.storage.schema import slices


class Process:
    """One life of a process whose calls use a budget."""

    def __init__(self, world: "AllowanceWorld") -> None:
        self.process = SimulatedProcess(world.loop)
        self.is_closing = False
        self.name = world.new_name()
        self._world = world
        self._allowances = Allowances(
            world.store(), owner=self.name, clock=world.clock, spent_by=world.spent_by_the_dead
        )
        self._calls = 0
        self._was_refused = False
        self.process.start(self._begin_calls())
        self.process.start(self._allowances.run())

    async def _begin_calls(self) -> None:
        world, rng = self._world, self._world.rng
        while not self.is_closing:
            await world.clock.sleep(rng.expovariate(10.0) + (1.0 if self._was_refused else 0.0))
            self.process.start(self._call(rng.randint(1, LARGEST)))
        while self._calls or not await self._closed():
            await world.clock.sleep(0.5)
        self.process.kill()

    async def _closed(self) -> bool:
        try:
            await self._allowances.close()
        except Unavailable:
            return False
        return True

    async def _call(self, most: int) -> None:
        world, rng = self._world, self._world.rng
        self._calls += 1
        self._was_refused = False
        try:
            hold = await self._allowances.hold([(BUDGET, WINDOW, most)])
            await world.clock.sleep(rng.expovariate(4.0))
            used = rng.randint(0, most)
            world.spent[self.name] += used  # what the spool keeps, before the call is settled
            hold.settle(tokens=0, cost_nano=used)
        except BudgetSpent as refused:
            world.told[refused.code] += 1
            self._was_refused = True
        except Unavailable:
            world.told["unavailable"] += 1
            self._was_refused = True
        finally:
            self._calls -= 1


class AllowanceWorld(World):
    """The world of slices, whose processes are the product's."""

    def owner(self) -> Any:
        return Process(self)

    async def run(self) -> Counter[str]:
        supervision = asyncio.create_task(self._supervise())
        chaos = [asyncio.create_task(self._trouble()) for _ in range(2)]
        await self.clock.sleep(BUSY_S)
        for task in chaos:
            task.cancel()
        self._heal()
        await self.clock.sleep(QUIET_S)
        supervision.cancel()
        for owner in self._living()[1:]:
            owner.is_closing = True
        await self.clock.sleep(QUIET_S)  # in which the last one finds what the dead have left
        for owner in self._living():
            owner.is_closing = True
        await self.clock.sleep(QUIET_S)
        self._check()
        return self.told

    async def spent_by_the_dead(self, held: Slice) -> int | None:
        """What the ledger knows, once it has everything of a dead process's spool."""
        await self.clock.sleep(self.rng.expovariate(4.0))  # reading it takes a while
        if held.owner in (owner.name for owner in self._living()):
            return None
        self.told["recovered"] += 1
        return self.spent[held.owner]


async def allowance_world(loop: SimulatedLoop) -> Counter[str]:
    """One seed. Raises Violation; otherwise tells what happened."""
    with simulated_database(loop, slices) as database:
        return await AllowanceWorld(loop, database).run()
