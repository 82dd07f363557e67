"""Sees batches through, as long as the process lives: looks what is to be done next about each, and does it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from undercroft.batches import repository
from undercroft.batches.desk import Transactions
from undercroft.batches.duty import Duty, DutyLost
from undercroft.batches.lifecycle import Step, next_step
from undercroft.batches.steps import Steps
from undercroft.batches.types import Batch
from undercroft.clock import Clock, beat
from undercroft.errors import Unavailable
from undercroft.storage.stamp import Stamp, always_another
from undercroft.telemetry.logs import get_logger

POLL_S: Final = 1.0
"""How often an idle process looks whether there is something to do, which only reads."""
AT_ONCE: Final = 1000
"""Batches that one look is about."""


class Tending:
    """The duty. Any number of processes may offer to do it."""

    def __init__(
        self, database: Transactions, duty: Duty, steps: Steps, *, clock: Clock, stamp: Stamp = always_another
    ) -> None:
        self._database = database
        self._duty = duty
        self._clock = clock
        self._stamp = stamp
        self._idle: object = None
        """The stamp at which there was no batch to see to."""
        self._woken = asyncio.Event()
        self._steps: Mapping[Step, Callable[[Batch], Awaitable[None]]] = {
            "validate": steps.validate,
            "feed": steps.feed,
            "expire": steps.expire,
            "stop": steps.stop,
            "finish": steps.finish,
            "clear": steps.clear,
        }

    def wake(self) -> None:
        """There may be something to do. In the loop's own thread."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled; then the duty is free for the next one."""
        try:
            while True:
                self._woken.clear()
                if not await self._look():
                    await self._rest()
        finally:
            try:
                await self._duty.let_go()
            except Unavailable as error:
                get_logger("undercroft.batches").debug("duty_not_released", reason=str(error))

    async def tend(self) -> None:
        """Does all that can be done now."""
        while await self._look():
            pass

    async def _look(self) -> bool:
        """One look at each; whether another may find more to do at once."""
        try:
            stamp = await self._stamp()
            if stamp == self._idle:
                return False
            found = await self._database.read(partial(repository.active, limit=AT_ONCE))
            self._idle = None if found else stamp
        except Unavailable as error:
            get_logger("undercroft.batches").debug("batches_not_tended", reason=str(error))
            return False
        is_more = False
        for batch, is_pending in found:
            step = next_step(batch, is_pending=is_pending, now_us=self._clock.now_us())
            if step in self._steps:
                # What runs is told to stop, and takes a moment: another look at once would find it running.
                is_more = (await self._do(step, batch) and step != "stop") or is_more
        return is_more

    async def _do(self, step: Step, batch: Batch) -> bool:
        """Whether it went through."""
        logger = get_logger("undercroft.batches")
        try:
            await self._duty.renew()
            await self._steps[step](batch)
        except DutyLost:
            return False
        except Unavailable as error:
            logger.debug("batch_waits", batch=batch.id, step=step, reason=str(error))
            return False
        except Exception:
            logger.exception("batch_step_failed", batch=batch.id, step=step)
            return False
        return True

    async def _rest(self) -> None:
        sleeping = asyncio.ensure_future(beat(self._clock, POLL_S))
        woken = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait({sleeping, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            woken.cancel()
