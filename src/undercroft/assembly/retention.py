"""The duty of deleting rows whose time is over, where the settings say when that is."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from undercroft.assembly.beside import alongside
from undercroft.assembly.database import DatabaseLink
from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.ids import Ids
from undercroft.settings.retention import Retention
from undercroft.telemetry.logs import get_logger

DUTY: Final = "retention"
SWEEP_S: Final = 3600.0
FIRST_S: Final = 60.0
LEASE_US: Final = 7_200_000_000
BREATH_S: Final = 0.05
"""Between two transactions: nobody waits for what is deleted."""


@contextlib.asynccontextmanager
async def retaining(
    terms: Retention, link: DatabaseLink, *, ids: Ids, clock: Clock, is_frozen: bool = False
) -> AsyncIterator[None]:
    """Deletes once an hour for as long as the block lasts, in one of all processes."""
    if is_frozen or not terms.says_anything:
        yield
        return
    async with alongside(_run(terms, link, holder=ids.new("holder_"), clock=clock)):
        yield


async def _run(terms: Retention, link: DatabaseLink, *, holder: str, clock: Clock) -> None:
    await clock.sleep(FIRST_S)
    while True:
        try:
            await sweep(terms, link, holder=holder, clock=clock)
        except Unavailable as error:
            get_logger("undercroft.retention").debug("rows_not_swept", reason=str(error))
        await clock.sleep(SWEEP_S)


async def sweep(terms: Retention, link: DatabaseLink, *, holder: str, clock: Clock) -> int:
    """How many rows it deleted; none where another process has the duty."""
    from undercroft.storage.retention import Terms, sweep_some

    if not await link.has_duty(DUTY, holder=holder, lease_us=LEASE_US):
        return 0
    some = partial(
        sweep_some,
        terms=Terms(calls_days=terms.calls_days, batches_days=terms.batches_days, feedback_days=terms.feedback_days),
        now_us=clock.now_us(),
    )
    count = 0
    while deleted := await link.write(some):
        count += deleted
        await clock.sleep(BREATH_S)
    if count:
        get_logger("undercroft.retention").info("rows_deleted", count=count)
    return count
