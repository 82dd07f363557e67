"""Work beside the server that opens once the database is there, and ends with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any


@contextlib.asynccontextmanager
async def beside(
    work: Callable[[asyncio.Event], Coroutine[Any, Any, None]], *, opened: asyncio.Event, close: Callable[[], None]
) -> AsyncIterator[None]:
    """Runs `work(stop)` for as long as the block lasts, and waits for its end once `stop` is set.

    `work` sets `opened` when there is something to ask for, and is cancelled where it has not come so far. `close` is
    called when it has ended, however it did: whatever went wrong in there is raised at the end of the block.
    """
    stop = asyncio.Event()
    task = asyncio.create_task(work(stop))
    task.add_done_callback(lambda _: close())
    try:
        yield
    finally:
        stop.set()
        if not opened.is_set():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
