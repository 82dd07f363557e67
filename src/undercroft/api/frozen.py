"""The application on hosts that start it for a request, and freeze or end it as soon as the answer is out.
(`api/serverless.py` is what they call.)

There, no thread and no timer is sure to run again, and no disk to be read again: the database is looked at when a
request comes, and what was used is committed before the last byte of its answer is given away.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from undercroft.api.app import Application
from undercroft.api.exchange import Message, Receive, Scope, Send
from undercroft.api.logs import configure
from undercroft.assembly import Undercroft
from undercroft.assembly.stored_settings import encrypted_store
from undercroft.errors import ConfigurationError, Unavailable
from undercroft.settings.deployment import CALLS_END_EARLIER_S
from undercroft.settings.sources import load
from undercroft.telemetry.logs import get_logger

T = TypeVar("T")

THROWAWAY: Final = "sqlite:////tmp/undercroft.db"


class Serverless:
    """An ASGI application without a lifespan: it starts with the first request and is never stopped."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def begin(self) -> Undercroft:
        """Starts what has not started, and looks at the database."""
        undercroft = await self.application.start()
        await undercroft.link.refresh()
        return undercroft

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        undercroft = await self.begin()
        if undercroft.keeper.problem:  # no call starts that cannot be booked: find out whether that is still so
            await _settle(undercroft)

        async def send_when_booked(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                await _settle(undercroft)
            await send(message)

        await self.application(scope, receive, send_when_booked)


async def _settle(undercroft: Undercroft) -> None:
    """Writes what is left: the meter has waited for each answer's own record, but not for those of refusals."""
    try:
        await undercroft.recorder.durable()
    except Unavailable as error:  # what was spent has failed its own answer; this cost nothing, and is tried again
        get_logger("undercroft.ledger").warning("records_wait_in_memory", reason=str(error))
    undercroft.recorder.tell()


class OneLoop:
    """For hosts that make an event loop for each request, and end all it holds: the application lives on another one.

    That loop has a thread, which does nothing but what a request waits for.
    """

    def __init__(self, application: Serverless) -> None:
        self._application = application
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="undercroft", daemon=True).start()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        theirs = asyncio.get_running_loop()

        async def receive_there() -> Message:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(receive()), theirs))

        async def send_there(message: Message) -> None:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(send(message)), theirs))

        answering = self._application(scope, receive_there, send_there)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(answering, self._loop))


async def _awaited(waiting: Awaitable[T]) -> T:
    return await waiting


def serverless_app(folder: Path, *, timeout_s: int, environment: Mapping[str, str] | None = None) -> Serverless:
    """The application of a function whose code, `undercroft.toml` and `.env` lie in `folder`.

    The host ends a request after `timeout_s`; calls end a little earlier, as errors that are booked. Raises
    ConfigurationError, also for a function without a database or a master key: it is open to everybody, and what it
    keeps on its disk is gone with it.
    """
    given = dict(os.environ if environment is None else environment)
    overrides = {"ledger.durability": "database", "server.workers": 1, "server.role": "gateway,console"}
    loaded = load(config=None, environment=given, directory=folder, overrides=overrides, stored=encrypted_store)
    settings = loaded.settings
    configure(settings)
    for warning in loaded.warnings:
        get_logger("undercroft.configuration").warning("configuration_warning", reason=warning)
    if settings.database.url is None:
        raise ConfigurationError(
            "A function's disk is gone with it, and no database is set.",
            hint=f"Set DATABASE_URL=postgresql://… (or, to try it and forget all, DATABASE_URL={THROWAWAY}).",
        )
    if settings.access.master_key is None:
        raise ConfigurationError("A function is open to everybody, and has no key.", hint="Set UNDERCROFT_MASTER_KEY.")
    longest_s = min(settings.server.request_timeout_s, timeout_s - CALLS_END_EARLIER_S)
    server = settings.server.model_copy(update={"request_timeout_s": longest_s})
    return Serverless(Application(settings.model_copy(update={"server": server}), bind="public", is_frozen=True))
