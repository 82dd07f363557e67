"""Makes a record safe first, then tells everyone who lives off it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from undercroft.record import CallRecord, SpoolRecord

TELL_AFTER_S = 0.05
"""Listeners are told in batches this far apart: a scrape or a log line need not be younger."""


class Keeper(Protocol):
    """Keeps call records: the spool, or the database itself."""

    problem: str
    """Why the last record was not taken; empty while all is well."""

    @property
    def place(self) -> str:
        """What it stands on, as `/health` calls it."""
        ...

    @property
    def is_immediate(self) -> bool:
        """Whether `durable` has nothing to wait for."""
        ...

    def append(self, record: SpoolRecord, /) -> None: ...

    async def durable(self) -> None: ...


class FanOut:
    """The gateway's recorder: a record is kept before anything else happens; listeners follow off the path."""

    def __init__(self, keeper: Keeper, listeners: Sequence[Callable[[list[CallRecord]], None]]) -> None:
        self._keeper = keeper
        self._listeners = list(listeners)
        self._pending: list[CallRecord] = []
        self._scheduled = False

    def also_tell(self, listener: Callable[[list[CallRecord]], None]) -> None:
        """Another one who lives off the records from now on."""
        self._listeners.append(listener)

    def append(self, record: SpoolRecord, /) -> None:
        """Raises Unavailable when the record cannot be kept now. The end of a call is told all the same: its
        keeper has it in memory and writes it as soon as that is possible."""
        try:
            self._keeper.append(record)
        finally:
            if type(record) is CallRecord:
                self._pending.append(record)
                if not self._scheduled:
                    self._scheduled = True
                    asyncio.get_running_loop().call_later(TELL_AFTER_S, self.tell)

    @property
    def is_immediate(self) -> bool:
        """Whether `durable` returns at once."""
        return self._keeper.is_immediate

    async def durable(self) -> None:
        """Returns when what was appended is as safe as `[ledger] durability` promises."""
        await self._keeper.durable()

    def tell(self) -> None:
        """Hands on what is pending, now: before a scrape, and at the end."""
        self._scheduled = False
        records, self._pending = self._pending, []
        if records:
            for listener in self._listeners:
                listener(records)
