"""Work beside the server, which ends with it: what has something to open and to close, and what just runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
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


@contextlib.asynccontextmanager
async def alongside(*work: Coroutine[Any, Any, None], raises: bool = True) -> AsyncIterator[None]:
    """Runs what never ends by itself for as long as the block lasts, and cancels it then.

    What went wrong in there is raised at the end of the block; not `raises`: nothing depends on it, and nobody is told.
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        if raises:
            await finish(tasks)
        else:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def finish(tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Ends what runs for ever; what has ended by itself has gone wrong, and says so."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
