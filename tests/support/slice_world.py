"""Processes that share a limit by slices, while they die, stop and lose their database."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from tests.support.simulated_database import SimulatedDatabase, simulated_database
from tests.support.simulation import SimulatedClock, SimulatedLoop, SimulatedProcess
from undercroft.errors import Unavailable
from undercroft.ledger.slice_stores.sql import SqlSliceStore
from undercroft.ledger.slices import Slice, Window
from undercroft.storage.schema import slices

WINDOW: Final = Window(organisation="default", name="budget:key_1", id="2026-01", ends_us=2**62)
LIMIT: Final = 2000
OWNERS: Final = 4
LEASE_S: Final = 3.0
BUSY_S: Final = 20.0
QUIET_S: Final = 15.0
"""Longer than any answer takes, and a lease."""


class Violation(AssertionError):
    """More was spent than there was, or something was lost."""


@dataclass(slots=True)
class Journal:
    """What one owner has spent: what its spool says when it is dead."""

    spent: int = 0


class Owner:
    """One life of a process that spends, as a limiter would."""

    def __init__(self, world: "World", name: str) -> None:
        self.process = SimulatedProcess(world.loop)
        self._world = world
        self._store = SqlSliceStore(world.database, clock=world.clock, lease_s=LEASE_S)
        self._held = Slice(window=WINDOW, owner=name)
        self._until = 0.0
        self.journal = world.journals[name] = Journal()
        self.process.start(self._spend())
        self.process.start(self._renew())

    async def _spend(self) -> None:
        world = self._world
        while not world.is_quiet:
            await world.clock.sleep(world.rng.expovariate(5.0))
            amount = world.rng.randint(1, 20)
            if self._covers(amount) or (await self._more(amount) and self._covers(amount)):
                self.journal.spent += amount
                world.watch()
            elif self._is_lost:
                self.process.kill()  # and another one begins anew
                return
        await self._leave()

    def _covers(self, amount: int) -> bool:
        return self._world.clock.monotonic() < self._until and self._held.amount - self.journal.spent >= amount
