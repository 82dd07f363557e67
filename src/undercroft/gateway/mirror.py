"""Sends copies of calls to a release that nobody is to see yet."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Final

from msgspec.structs import replace

from undercroft.clock import Clock
from undercroft.errors import UndercroftError
from undercroft.gateway.call import Call, Trail
from undercroft.ids import Ids
from undercroft.llm.reply import Reply

ENDPOINT: Final = "shadow"
MOST: Final = 64
"""Copies under way; while there are so many, no more are made: a slow candidate must not fill the process."""


class Mirror:
    """A copy is a call of its own, booked under `shadow`. How it ends stands in the ledger, and nowhere else."""

    def __init__(self, send: Callable[[Call], Awaitable[Reply]], *, ids: Ids, clock: Clock) -> None:
        self._send = send
        self._ids = ids
        self._clock = clock
        self.under_way: set[asyncio.Task[None]] = set()

    def __call__(self, call: Call) -> None:
        if len(self.under_way) >= MOST:
            return
        started = self._clock.monotonic()
        copy = replace(
            call,
            id=self._ids.new("req_"),
            endpoint=ENDPOINT,
            started=started,
            started_us=self._clock.now_us(),
            deadline=started + (call.deadline - call.started),
            trail=Trail(),
        )
        task = asyncio.get_running_loop().create_task(self._ask(copy))
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    async def _ask(self, copy: Call) -> None:
        with suppress(UndercroftError):  # booked by the meter, with its code
            async with aclosing((await self._send(copy)).chunks) as chunks:
                async for _ in chunks:
                    pass

    async def close(self) -> None:
        """Ends what is under way: nobody waits for it."""
        tasks = list(self.under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
