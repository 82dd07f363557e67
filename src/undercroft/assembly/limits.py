"""Limits of the running server: the book of them, and the slices this process holds, in the database or in Redis."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from undercroft.assembly.beside import alongside
from undercroft.assembly.database import DatabaseLink
from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.ledger.allowances import Allowance, Allowances, Hold, Need, Watcher
from undercroft.ledger.limit_book import LimitBook
from undercroft.ledger.limits import Limit, Measure, limits_from
from undercroft.ledger.slices import Slice, SliceStore, Window
from undercroft.money import parse_usd
from undercroft.settings.model import Limits
from undercroft.telemetry.logs import get_logger

if TYPE_CHECKING:
    from undercroft.ledger.slice_stores.redis import RedisSliceStore

LAST_SETTLING_S = 5.0
"""How long shutting down waits for the store to take what was spent; what it did not take is found out later from the
process's records."""


class Limiter:
    """What the gateway asks before a call; made before the database is there, which the first limit waits for.

    `owner` is the name of this process's spool, so that what it spent can be found in the ledger when it has died.
    Budgets are leased from the database, beside the ledger: money must not come back because Redis has lost what it
    knew. With `redis_url`, all else is leased from there.
    """

    def __init__(
        self,
        book: LimitBook,
        *,
        link: DatabaseLink,
        owner: str,
        watcher: Watcher,
        clock: Clock,
        redis_url: str | None = None,
    ) -> None:
        self.book = book
        self._link = link
        self._owner = owner
        self._watcher = watcher
        self._clock = clock
        self._redis_url = redis_url
        self._budgets: Allowances | None = None
        self._rates: Allowances | None = None
        self._redis: RedisSliceStore | None = None

    async def hold(self, needs: Sequence[Need], /) -> Hold:
        """See `Allowances.hold`."""
        if self._budgets is None:
            await self._link.first_look()
        budgets, rates = self._opened()
        if rates is budgets:
            return await budgets.hold(needs)
        hold = await rates.hold([need for need in needs if need[0].measure != "spend"])
        try:
            return hold.joined(await budgets.hold([need for need in needs if need[0].measure == "spend"]))
        except BaseException:
            hold.drop()
            raise

    def hold_at_once(self, needs: Sequence[Need], /) -> Hold | None:
        """See `Allowances.hold_at_once`."""
        budgets, rates = self._budgets, self._rates
        if budgets is None or rates is None:
            return None
        if rates is budgets:
            return budgets.hold_at_once(needs)
        hold = rates.hold_at_once([need for need in needs if need[0].measure != "spend"])
        if hold is None:
            return None
        spending = budgets.hold_at_once([need for need in needs if need[0].measure == "spend"])
        if spending is None:
            hold.drop()
            return None
        return hold.joined(spending)

    def at_hand(self, limit: Limit, window: Window, /) -> Allowance | None:
        """See `Allowances.at_hand`."""
        allowances = self._budgets if limit.measure == "spend" else self._rates
        return None if allowances is None else allowances.at_hand(limit, window)

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
        # Also where nothing is limited here: the dead may have left slices.
        await asyncio.gather(*(each.run() for each in dict.fromkeys(self._opened())))

    async def _settle(self) -> None:
        if self._budgets is None:
            return
        for allowances in dict.fromkeys(self._opened()):
            try:
                async with asyncio.timeout(LAST_SETTLING_S):
                    await allowances.close()
            except (Unavailable, TimeoutError) as error:
                get_logger("undercroft.limits").warning("limits_not_settled", reason=str(error))
        if self._redis is not None:
            await self._redis.close()

    def _opened(self) -> tuple[Allowances, Allowances]:
        """Who holds budgets, and who holds all else."""
        if self._budgets is None or self._rates is None:
            # Imported here, with SQLAlchemy, once the port has long been answering.
            from undercroft.ledger.limit_repository import used_in
            from undercroft.ledger.slice_stores.sql import SqlSliceStore

            self._budgets = self._allowances(SqlSliceStore(self._link.aside, clock=self._clock, before=used_in))
            self._rates = self._budgets if self._redis_url is None else self._in_redis(self._redis_url)
        return self._budgets, self._rates

    def _in_redis(self, url: str) -> Allowances:
        from undercroft.ledger.limit_repository import used_in
        from undercroft.ledger.slice_stores.redis import RedisSliceStore

        async def used(window: Window) -> int:
            return await self._link.read(partial(used_in, window=window))

        self._redis = RedisSliceStore(url, clock=self._clock, before=used)
        return self._allowances(self._redis)

    def _allowances(self, store: SliceStore) -> Allowances:
        from undercroft.ledger.limit_repository import spent_by

        async def spent(held: Slice) -> int | None:
            return await self._link.read(partial(spent_by, held=held))

        return Allowances(store, owner=self._owner, clock=self._clock, spent_by=spent, watcher=self._watcher)


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
