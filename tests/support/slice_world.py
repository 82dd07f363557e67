"""Processes that share a limit by slices, while they die, stop and lose their database."""

import asyncio
from collections import Counter
from typing import Final

from sqlalchemy import Connection, select

from tests.support.simulated_database import STALL_RATE, SimulatedDatabase, simulated_database
from tests.support.simulation import SimulatedClock, SimulatedLoop, SimulatedProcess
from undercroft.errors import BudgetSpent, Unavailable
from undercroft.ledger.allowances import Allowances
from undercroft.ledger.limits import Limit
from undercroft.ledger.slice_stores.sql import SETTLED, SqlSliceStore
from undercroft.ledger.slices import Slice
from undercroft.record import Who
from undercroft.storage.schema import slices

LIMIT: Final = 2000
BUDGET: Final = Limit(scope="key", measure="spend", amount=LIMIT)
WINDOW: Final = BUDGET.window(Who(key="key_1"), 0)
LARGEST: Final = 20
"""What is spent at once, at most."""
OWNERS: Final = 3
LEASE_S: Final = 2.0
BUSY_S: Final = 8.0
QUIET_S: Final = 8.0
"""Longer than a lease and any answer."""


class Violation(AssertionError):
    """More was spent than there was, or something was counted wrong."""


class Owner:
    """One life of a process whose calls use a budget."""

    def __init__(self, world: "World") -> None:
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


class World:
    """Everything of one seed."""

    def __init__(self, loop: SimulatedLoop, database: SimulatedDatabase) -> None:
        self.loop = loop
        self.rng = loop.rng
        self.clock = SimulatedClock(loop)
        self.database = database
        self.spent: dict[str, int] = {}
        """By owner: what a spool would say, which outlives its process."""
        self.told: Counter[str] = Counter()
        self._owners: list[Owner] = []
        self._is_over = False

    def store(self) -> SqlSliceStore:
        return SqlSliceStore(self.database, clock=self.clock, lease_s=LEASE_S)

    def new_name(self) -> str:
        name = f"owner-{len(self.spent)}"
        self.spent[name] = 0
        return name

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

    def _living(self) -> list[Owner]:
        return [owner for owner in self._owners if not owner.process.is_killed]

    async def _supervise(self) -> None:
        while True:
            while len(self._living()) < OWNERS:
                self._owners.append(Owner(self))
            await self.clock.sleep(self.rng.expovariate(2.0))

    async def spent_by_the_dead(self, held: Slice) -> int | None:
        """What the ledger knows, once it has everything of a dead process's spool."""
        await self.clock.sleep(self.rng.expovariate(4.0))  # reading it takes a while
        if held.owner in (owner.name for owner in self._living()):
            return None
        self.told["recovered"] += 1
        return self.spent[held.owner]

    async def _trouble(self) -> None:
        while True:
            await self.clock.sleep(self.rng.expovariate(2.0))
            fault = self.rng.choice((self._kill, self._stop, self._outage, self._losses, self._stalls))
            self.told[fault.__name__.removeprefix("_")] += 1
            await fault()

    async def _kill(self) -> None:
        if living := self._living():
            self.rng.choice(living).process.kill()

    async def _stop(self) -> None:
        if living := self._living():
            process = self.rng.choice(living).process
            process.stop()
            await self.clock.sleep(self.rng.uniform(0.1, 3 * LEASE_S))
            process.resume()

    async def _outage(self) -> None:
        self.database.is_away = True
        await self.clock.sleep(self.rng.uniform(0.1, 2 * LEASE_S))
        self.database.is_away = False

    async def _losses(self) -> None:
        self.database.loss_rate = 0.5
        await self.clock.sleep(self.rng.uniform(0.1, 2 * LEASE_S))
        self.database.loss_rate = 0.0

    async def _stalls(self) -> None:
        self.database.stall_rate = 0.7
        await self.clock.sleep(self.rng.uniform(0.1, 2 * LEASE_S))
        self.database.stall_rate = STALL_RATE

    def _heal(self) -> None:
        self.database.is_away = False
        self.database.stall_rate = STALL_RATE
        self.database.loss_rate = 0.0
        for owner in self._owners:
            if owner.process.is_stopped:
                owner.process.resume()

    def _check(self) -> None:
        for owner in self._owners:
            _claim(not owner.process.crashes, f"crashed: {owner.process.crashes}")
        spent, rows = sum(self.spent.values()), self.database.now(_rows)
        _claim(spent <= LIMIT, f"{spent} of {LIMIT} were spent")
        _claim(rows == {SETTLED: spent}, f"{spent} were spent, and the store says {rows}")
        self.told["spent"] += spent


async def slice_world(loop: SimulatedLoop) -> Counter[str]:
    """One seed. Raises Violation; otherwise tells what happened."""
    with simulated_database(loop, slices) as database:
        return await World(loop, database).run()


def _rows(connection: Connection) -> dict[str, int]:
    return {row.owner: row.amount for row in connection.execute(select(slices.c.owner, slices.c.amount))}


def _claim(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)
