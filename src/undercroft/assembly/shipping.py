"""Moves spooled records into the database for as long as the server runs, and once more at its end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

from undercroft.assembly.database import DatabaseLink
from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.ledger.opened import OpenedPrices
from undercroft.ledger.spool import Spool
from undercroft.settings.model import Settings
from undercroft.telemetry.logs import get_logger

T = TypeVar("T")


@contextlib.asynccontextmanager
async def shipping(
    link: DatabaseLink, spool: Spool, settings: Settings, *, prices: OpenedPrices, clock: Clock
) -> AsyncIterator[None]:
    """Ships beside the block; what cannot be shipped at the end stays in the spool for the next start."""
    syncing = asyncio.create_task(spool.run())
    ship = asyncio.create_task(_ship(link, spool, settings, prices=prices, clock=clock))
    try:
        yield
    finally:
        for task in (ship, syncing):
            task.cancel()
        await asyncio.gather(ship, syncing, return_exceptions=True)


async def _ship(link: DatabaseLink, spool: Spool, settings: Settings, *, prices: OpenedPrices, clock: Clock) -> None:
    await link.first_look()
    # Imported here, with SQLAlchemy, once the port has long been answering.
    from undercroft.ledger.shipping import Shipper

    shipper = Shipper(
        link,
        spool.folder.parent,
        clock=clock,
        price=prices,
        own=spool,
        interval_s=settings.ledger.ship_interval_s,
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


LAST_FLUSH_S = 5.0
"""How long shutting down waits for the database to take the last records."""
