"""The misbehaving provider on an event loop of its own, for tests that are not on one themselves."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.upstream import LOOPBACK_PEM, Upstream, running_upstream


@contextmanager
def upstream_in_background(upstream: Upstream | None = None, *, tls: Path | None = None) -> Iterator[Upstream]:
    """A provider in a thread. What it has received may be read at any time; `answers` be set before it is asked."""
    ready: threading.Event = threading.Event()
    found: list[Upstream] = []

    async def serve() -> None:
        serving = running_upstream(upstream=upstream, tls=tls is not None, pem=tls or LOOPBACK_PEM)
        async with serving as running:
            found.append(running)
            ready.set()
            await stopping.wait()

    loop, stopping = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="upstream")
    thread.start()
    try:
        assert ready.wait(30)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()
