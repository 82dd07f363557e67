"""Limits of the running server: the book of them, and the slices this process holds, in the database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial

from undercroft.assembly.beside import alongside
from undercroft.assembly.database import DatabaseLink
from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.ledger.allowances import Allowances, Hold, Need, Watcher
from undercroft.ledger.limit_book import LimitBook
from undercroft.ledger.limits import Limit, Measure, limits_from
from undercroft.ledger.slices import Slice
from undercroft.money import parse_usd
from undercroft.settings.model import Limits
from undercroft.telemetry.logs import get_logger

LAST_SETTLING_S = 5.0
"""How long shutting down waits for the store to take what was spent; what it did not take is found out later from the
process's records."""


class Limiter:
    """What the gateway asks before a call; made before the database is there, which the first limit waits for.

    `owner` is the name of this process's spool, so that what it spent can be found in the ledger when it has died.
    """

    def __init__(self, book: LimitBook, *, link: DatabaseLink, owner: str, watcher: Watcher, clock: Clock) -> None:
        self.book = book
        self._link = link
        self._owner = owner
        self._watcher = watcher
        self._clock = clock
        self._allowances: Allowances | None = None

    async def hold(self, needs: Sequence[Need], /) -> Hold:
        """See `Allowances.hold`."""
        if self._allowances is None:
            await self._link.first_look()
        return await self._opened().hold(needs)

    @contextlib.asynccontextmanager
    async def running(self, *, is_frozen: bool = False) -> AsyncIterator[None]:
        """Keeps the leases beside the block; settles everything at its end, when the last call has ended.

        A process that is frozen between requests has nothing beside it: it asks for its slices again when it wakes.
        """
        keeping = () if is_frozen else (self._keep(),)
        try:
            async with alongside(*keeping, raises=False):
                yield
        finally:
            await self._settle()

    async def _keep(self) -> None:
        await self._link.first_look()
        await self._opened().run()  # also where nothing is limited here: the dead may have left slices

    async def _settle(self) -> None:
        if self._allowances is None:
            return
        try:
            async with asyncio.timeout(LAST_SETTLING_S):
                await self._allowances.close()
        except (Unavailable, TimeoutError) as error:
            get_logger("undercroft.limits").warning("limits_not_settled", reason=str(error))

    def _opened(self) -> Allowances:
        if self._allowances is None:
            # Imported here, with SQLAlchemy, once the port has long been answering.
            from undercroft.ledger.limit_repository import spent_by, used_in
            from undercroft.ledger.slice_stores.sql import SqlSliceStore

            async def spent(held: Slice) -> int | None:
                return await self._link.read(partial(spent_by, held=held))

            store = SqlSliceStore(self._link, clock=self._clock, before=used_in)
            self._allowances = Allowances(
                store, owner=self._owner, clock=self._clock, spent_by=spent, watcher=self._watcher
            )
        return self._allowances


def rules_of(settings: Limits) -> Iterator[Limit]:
    """The limits that the configuration sets."""
    for rule in settings.rules:
        amounts: dict[Measure, int | None] = {
            "requests": rule.requests,
            "tokens": rule.tokens,
            "spend": None if rule.spend is None else parse_usd(rule.spend),
            "concurrent": rule.concurrent,
        }
        yield from limits_from(
            amounts, scope=rule.per, period=rule.period, subject=rule.subject or "", model=rule.model or ""
        )
