"""Where call records go: into the spool, whose records move into the database, or into the database at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from undercroft.assembly.beside import alongside
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.process_metrics import LedgerLag
from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.ids import Ids
from undercroft.ledger.direct import DirectLedger
from undercroft.ledger.opened import OpenedPrices
from undercroft.ledger.spool import Spool
from undercroft.settings.model import Settings
from undercroft.telemetry.logs import get_logger

SPOOL = "spool"
"""Folder of the data directory that holds every process's call records."""
LAST_FLUSH_S = 5.0
"""How long shutting down waits for the database to take the last records."""


def keeper(settings: Settings, link: DatabaseLink, *, ids: Ids, clock: Clock) -> Spool | DirectLedger:
    """What keeps this process's call records, as `[ledger] durability` says."""
    durability = settings.ledger.durability
    if durability == "database":
        return DirectLedger(link.aside, name=ids.new("process_"), away=lambda: link.problem)
    spool = Spool(settings.data_dir / SPOOL, clock=clock, ids=ids, durability=durability)
    with contextlib.suppress(Unavailable):  # logged; /health says so, and each call tries again
        spool.open()
    return spool


@contextlib.asynccontextmanager
async def shipping(
    link: DatabaseLink,
    keeper: Spool | DirectLedger,
    settings: Settings,
    *,
    prices: OpenedPrices,
    lag: LedgerLag,
    clock: Clock,
    is_frozen: bool = False,
) -> AsyncIterator[None]:
    """Ships beside the block; what cannot be shipped at the end stays in the spool for the next start.

    A process that is frozen between requests has nothing beside it: its records are written with each answer.
    """
    work: list[Coroutine[Any, Any, None]] = []
    if isinstance(keeper, Spool):
        work = [_ship(link, keeper, settings, prices=prices, lag=lag, clock=clock), keeper.run()]
    elif not is_frozen:
        work = [_write(keeper, settings, lag=lag, clock=clock)]
    try:
        async with alongside(*work, raises=False):
            yield
    finally:
        if isinstance(keeper, DirectLedger):
            await _write_last(keeper)


async def _ship(
    link: DatabaseLink, spool: Spool, settings: Settings, *, prices: OpenedPrices, lag: LedgerLag, clock: Clock
) -> None:
    await link.first_look()
    # Imported here, with SQLAlchemy, once the port has long been answering.
    from undercroft.ledger.shipping import Shipper

    shipper = Shipper(
        link.aside,
        spool.folder.parent,
        clock=clock,
        price=prices,
        own=spool,
        interval_s=settings.ledger.ship_interval_s,
        passes=lag,
    )
    try:
        await shipper.run()
    finally:
        await spool.close()  # so that the last flush ships and removes our own folder, as it does a dead process's
        try:
            async with asyncio.timeout(LAST_FLUSH_S):
                await shipper.flush()
        except (Unavailable, TimeoutError) as error:
            get_logger("undercroft.ledger").warning(
                "records_stay_in_spool", folder=str(spool.folder), reason=str(error)
            )


async def _write(ledger: DirectLedger, settings: Settings, *, lag: LedgerLag, clock: Clock) -> None:
    """Until cancelled: writes what no answer waits for (calls that were turned away) and what could not be written."""
    trouble = ""
    while True:
        await clock.sleep(settings.ledger.ship_interval_s)
        lag.passing()
        try:
            await ledger.durable()
            lag.passed()
        except Unavailable:
            if ledger.problem != trouble:
                get_logger("undercroft.ledger").warning("records_wait_in_memory", reason=ledger.problem)
        trouble = ledger.problem


async def _write_last(ledger: DirectLedger) -> None:
    try:
        async with asyncio.timeout(LAST_FLUSH_S):
            await ledger.durable()
    except (Unavailable, TimeoutError) as error:
        get_logger("undercroft.ledger").error("records_lost", reason=str(error))
