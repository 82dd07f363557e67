"""Makes a record safe first, then tells everyone who lives off it."""

import asyncio
from collections.abc import Callable, Sequence

from undercroft.ledger.spool import Spool
from undercroft.record import CallRecord, SpoolRecord

TELL_AFTER_S = 0.05
"""Listeners are told in batches this far apart: a scrape or a log line need not be younger."""


class FanOut:
    """The gateway's recorder: the spool keeps a record before anything else happens; listeners follow off the path."""

    def __init__(self, spool: Spool, listeners: Sequence[Callable[[list[CallRecord]], None]]) -> None:
        self._spool = spool
        self._listeners = listeners
        self._pending: list[CallRecord] = []
        self._scheduled = False

    def append(self, record: SpoolRecord, /) -> None:
        """Raises Unavailable when the record cannot be kept now. The end of a call is told all the same: the spool
        keeps it in memory and writes it when the disk takes it again."""
        try:
            self._spool.append(record)
        finally:
            if isinstance(record, CallRecord):
                self._remember(record)

    def _remember(self, record: CallRecord) -> None:
        self._pending.append(record)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_later(TELL_AFTER_S, self.tell)

    async def durable(self) -> None:
        """Returns when what was appended is as safe as `[ledger] durability` promises."""
        await self._spool.durable()

    def tell(self) -> None:
        """Hands on what is pending, now: before a scrape, and at the end."""
        self._scheduled = False
        records, self._pending = self._pending, []
        if records:
            for listener in self._listeners:
                listener(records)
