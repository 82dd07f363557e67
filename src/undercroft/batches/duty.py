"""Seeing batches through is a duty: one process at a time does it, under a lease that each transaction of it renews."""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection

from undercroft.batches.desk import Transactions
from undercroft.clock import Clock
from undercroft.storage.duties import release, try_hold

T = TypeVar("T")

NAME: Final = "batches"
LEASE_US: Final = 10_000_000


class DutyLost(Exception):
    """Another process has it."""


class Duty:
    """Writes that only whoever has the duty may do."""

    def __init__(self, database: Transactions, *, holder: str, clock: Clock) -> None:
        """`holder` names one life of one process."""
        self._database = database
        self._holder = holder
        self._clock = clock

    async def write(self, work: Callable[[Connection], T]) -> T:
        """`work`, in a transaction that only goes through while the duty is ours. Raises DutyLost and Unavailable."""

        def held(connection: Connection) -> T:
            now_us = self._clock.now_us()
            if not try_hold(connection, NAME, holder=self._holder, now_us=now_us, lease_us=LEASE_US):
                raise DutyLost
            return work(connection)

        return await self._database.write(held)

    async def renew(self) -> None:
        """Takes the duty, or keeps it. Raises DutyLost and Unavailable."""
        await self.write(lambda _: None)

    async def let_go(self) -> None:
        """Somebody else may have it at once."""
        await self._database.write(partial(release, name=NAME, holder=self._holder))
