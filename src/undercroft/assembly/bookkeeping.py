"""What calls used and what they may still use: records on their way to the ledger, prices, limits."""

import contextlib
from collections.abc import AsyncIterator

import msgspec

from undercroft.assembly.budget_events import BudgetTeller
from undercroft.assembly.events import EventDesk
from undercroft.assembly.limits import Limiter
from undercroft.assembly.process import Process
from undercroft.assembly.recorder import FanOut
from undercroft.assembly.registry import Registry
from undercroft.assembly.shipping import shipping
from undercroft.assembly.telemetry import Telemetry
from undercroft.ledger.direct import DirectLedger
from undercroft.ledger.opened import OpenedPrices
from undercroft.ledger.prices import PriceBook
from undercroft.ledger.spool import Spool
from undercroft.settings.model import Settings


class Bookkeeping(msgspec.Struct, frozen=True, eq=False):
    """For as long as the process lasts."""

    keeper: Spool | DirectLedger
    recorder: FanOut
    prices: PriceBook
    opened: OpenedPrices
    """The same, with those of the configuration in force."""
    limiter: Limiter


@contextlib.asynccontextmanager
async def bookkeeping(
    settings: Settings,
    process: Process,
    registry: Registry,
    *,
    keeper: Spool | DirectLedger,
    recorder: FanOut,
    events: EventDesk,
    telemetry: Telemetry,
) -> AsyncIterator[Bookkeeping]:
    """Holds this process's part of the limits, and ships its records, beside the block."""
    clock, link, is_frozen = process.clock, registry.link, process.is_frozen
    prices = PriceBook()
    redis_url = settings.redis.url.get_secret_value() if settings.redis.url else None
    watcher = BudgetTeller(events.tell_once)
    limiter = Limiter(registry.limits, link=link, owner=keeper.name, watcher=watcher, clock=clock, redis_url=redis_url)
    opened = OpenedPrices(prices, settings.models)
    ships = shipping(link, keeper, settings, prices=opened, lag=telemetry.lag, clock=clock, is_frozen=is_frozen)
    async with limiter.running(is_frozen=is_frozen), ships:
        yield Bookkeeping(keeper, recorder, prices, opened, limiter)
