"""Processes that share a limit by slices, while they die, stop and lose their database."""

import asyncio
from collections import Counter
from typing import Any, Final

from sqlalchemy import Connection, select

from tests.support.simulated_database import STALL_RATE, SimulatedDatabase, simulated_database
from tests.support.simulation import SimulatedClock, SimulatedLoop, SimulatedProcess
from undercroft.errors import Unavailable
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
    """One life of a process that spends, as a limiter of the product would."""

    def __init__(self, world: "World") -> None:
        self.process = SimulatedProcess(world.loop)
        self.is_closing = False
        self._world = world
        self._store = world.store()
        self._held = Slice(window=WINDOW, owner=world.new_name())
        self._until = 0.0
        """When it stops to spend unless it hears from the store again."""
        self._is_unsure = False
        """It gave something back and does not know whether that was heard."""
        self._turn = asyncio.Lock()
        self.process.start(self._spend())
        self.process.start(self._renew())

    @property
    def _spent(self) -> int:
        return self._world.spent[self._held.owner]

    def _can_spend(self, amount: int) -> bool:
        is_leased = not self._is_unsure and self._world.clock.monotonic() < self._until
        return is_leased and self._held.amount - self._spent >= amount

    async def _spend(self) -> None:
        world, rng = self._world, self._world.rng
        while not self.is_closing:
            await world.clock.sleep(rng.expovariate(8.0))
            amount = rng.randint(1, LARGEST)
            if not self._can_spend(amount):
                await self._lease(amount)
            if self._can_spend(amount):
                world.spent[self._held.owner] += amount
            else:
                await world.clock.sleep(1)
            if rng.random() < 0.2:
                await self._give_back()
        async with self._turn:
            while not await self._settled():
                await world.clock.sleep(0.5)
        self.process.kill()

    async def _settled(self) -> bool:
        """Whether nothing more is to be said about its slice."""
        try:
            await self._store.settle(self._held, self._spent)
        except Unavailable:
            return False
        return True

    async def _lease(self, amount: int) -> None:
        async with self._turn:
            began = self._world.clock.monotonic()
            try:
                held = await self._store.lease(self._held, amount, limit=LIMIT)
            except Unavailable:
                return
            self._hear(held, began)
            self._is_unsure = False

    async def _give_back(self) -> None:
        async with self._turn:
            began, self._is_unsure = self._world.clock.monotonic(), True
            unspent = self._world.rng.randint(0, self._held.amount - self._spent)
            try:
                held = await self._store.give_back(self._held, unspent)
            except Unavailable:
                return
            self._hear(held, began)
            self._is_unsure = False

    async def _renew(self) -> None:
        while True:
            await self._world.clock.sleep(LEASE_S / 3)
            if not self._held.token:
                continue
            async with self._turn:
                began = self._world.clock.monotonic()
                try:
                    held = await self._store.renew(self._held.owner)
                except Unavailable:
                    continue
                self._hear(held[0] if held else None, began)

    def _hear(self, held: Slice | None, began: float) -> None:
        if held is None:
            self._world.told["lost"] += 1
            self.process.kill()  # another one begins under another name
            raise asyncio.CancelledError
        self._held = held
        self._until = began + LEASE_S


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
        self._owners: list[Any] = []
        self._is_over = False

    def owner(self) -> Any:
        """One more life."""
        return Owner(self)

    def store(self) -> SqlSliceStore:
        return SqlSliceStore(self.database, clock=self.clock, lease_s=LEASE_S)

    def new_name(self) -> str:
        name = f"owner-{len(self.spent)}"
        self.spent[name] = 0
        return name

    async def run(self) -> Counter[str]:
        duties = [asyncio.create_task(work) for work in (self._supervise(), self._recover(), self._recover())]
        chaos = [asyncio.create_task(self._trouble()) for _ in range(2)]
        await self.clock.sleep(BUSY_S)
        for task in chaos:
            task.cancel()
        self._heal()
        await self.clock.sleep(QUIET_S)
        duties[0].cancel()
        for owner in self._living():
            owner.is_closing = True
        await self.clock.sleep(2 * QUIET_S)
        for duty in duties[1:]:
            if duty.done():
                raise Violation(f"recovery ended: {duty}")
        self._check()
        return self.told

    def _living(self) -> list[Any]:
        return [owner for owner in self._owners if not owner.process.is_killed]

    async def _supervise(self) -> None:
        while True:
            while len(self._living()) < OWNERS:
                self._owners.append(self.owner())
            await self.clock.sleep(self.rng.expovariate(2.0))

    async def _recover(self) -> None:
        """Settles what the dead have left: two do so, though one would be enough."""
        store = self.store()
        while True:
            await self.clock.sleep(self.rng.expovariate(1.0))
            try:
                for frozen in await store.freeze():
                    spent = self.spent[frozen.owner]
                    await self.clock.sleep(self.rng.expovariate(2.0))  # reading a spool takes a while
                    self.told["settled" if await store.settle(frozen, spent) else "settled by another"] += 1
            except Unavailable:
                continue

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
