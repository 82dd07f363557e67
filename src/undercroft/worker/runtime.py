"""undercroft in a process that serves nobody: it runs jobs until it is told to stop."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import uvloop

from undercroft.assembly import Undercroft, assemble
from undercroft.settings.model import Settings
from undercroft.telemetry.logs import get_logger


async def work(settings: Settings, stop: asyncio.Event, *, ready: Callable[[Undercroft], None]) -> None:
    """Runs jobs until `stop` is set, and then ends what runs as `[server] shutdown_grace_s` says."""
    logger = get_logger("undercroft.worker")
    async with assemble(settings) as undercroft:
        ready(undercroft)
        logger.info("worker_ready", delivery=settings.job_delivery, at_once=settings.jobs.at_once)
        await stop.wait()
        logger.info("worker_stopping", grace_s=settings.server.shutdown_grace_s)


def work_until_told(settings: Settings) -> int:
    """The whole process: until SIGTERM or SIGINT. The exit code."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await work(settings, stop, ready=lambda _: None)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    return 0


class Runtime:
    """The same beside a program that has its own main loop, as Celery has: one event loop, in a thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready: Future[tuple[asyncio.AbstractEventLoop, Undercroft]] = Future()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="undercroft-worker", daemon=True)

    def start(self) -> None:
        """Returns when it is assembled, whether or not the database is there. Raises what assembling does."""
        self._thread.start()
        self._ready.result()

    def give(self, jobs: Sequence[tuple[str, str]]) -> None:
        """These were delivered, by organisation and id. Returns at once."""
        loop, undercroft = self._ready.result()
        with contextlib.suppress(RuntimeError):  # the loop is closed: this worker stops, and another one will look
            loop.call_soon_threadsafe(undercroft.jobs.give, jobs)

    def wait(self, seconds: float) -> bool:
        """Lets so much time pass; whether everything has ended meanwhile."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Returns when everything has ended."""
        if self._ready.done() and self._ready.exception() is None and self._thread.is_alive():
            loop, _ = self._ready.result()
            assert self._stop is not None
            loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._main())
        except BaseException as error:  # the edge of the thread
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        await work(self._settings, self._stop, ready=lambda undercroft: self._ready.set_result((loop, undercroft)))
