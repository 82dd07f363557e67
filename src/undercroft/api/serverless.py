"""The application on hosts that start it for a request, and freeze or end it as soon as the answer is out.

There, no thread and no timer is sure to run again, and no disk to be read again: the database is looked at when a
request comes, and what was used is committed before the last byte of its answer is given away.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from undercroft.api.app import Application
from undercroft.api.exchange import Message, Receive, Scope, Send
from undercroft.api.logs import configure
from undercroft.assembly import Undercroft
from undercroft.errors import ConfigurationError, MissingExtra, Unavailable
from undercroft.settings.sources import load
from undercroft.telemetry.logs import get_logger

THROWAWAY: Final = "sqlite:////tmp/undercroft.db"


class Serverless:
    """An ASGI application without a lifespan: it starts with the first request and is never stopped."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        undercroft = await self.application.start()
        await undercroft.link.refresh()
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


def serverless_app(folder: Path, *, environment: Mapping[str, str] | None = None) -> Serverless:
    """The application of a function whose code, `undercroft.toml` and `.env` lie in `folder`.

    Raises ConfigurationError, also for a function without a database or a master key: it is open to everybody, and
    what it keeps on its disk is gone with it.
    """
    given = dict(os.environ if environment is None else environment)
    overrides = {"ledger.durability": "database", "server.workers": 1}
    loaded = load(config=None, environment=given, directory=folder, overrides=overrides)
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
    return Serverless(Application(settings, bind="public", is_frozen=True))


def lambda_handler(folder: Path) -> Callable[[Any, Any], Any]:
    """What AWS Lambda calls, behind a function URL, an API Gateway or a load balancer. Raises ConfigurationError.

    It starts everything at once: Lambda gives a new function its whole CPU only until it is ready for its first event.
    """
    try:
        from mangum import Mangum
    except ImportError as error:
        raise MissingExtra("AWS Lambda", extra="lambda") from error

    _log_once()
    app = serverless_app(folder)
    handler = Mangum(app, lifespan="off")
    asyncio.get_event_loop().run_until_complete(app.application.start())
    return handler


def _log_once() -> None:
    """Lambda's runtime has put a handler of its own on the root logger, and Mangum tells of each request as well."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler).__module__.startswith("awslambdaric"):
            root.removeHandler(handler)
    logging.getLogger("mangum").setLevel(logging.WARNING)
