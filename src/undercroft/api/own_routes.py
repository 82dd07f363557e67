"""Routes of the user's own: behind our doors, with our errors, and with `undercroft.agenerate` on this application."""

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from undercroft.api.exchange import Exchange
from undercroft.assembly import Undercroft
from undercroft.assembly.lending import Line, lent
from undercroft.errors import InvalidRequest, NotFound, Unavailable, UndercroftError

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


class OwnRoutes:
    """Starlette's or FastAPI's routes. Nothing of either is imported before the first request for one of them."""

    def __init__(self, routes: Sequence["BaseRoute"]) -> None:
        self._routes = list(routes)
        self._application: Any = None

    def __bool__(self) -> bool:
        return bool(self._routes)

    async def serve(self, exchange: Exchange, undercroft: Undercroft) -> None:
        """Answers, or raises NotFound where none of them has this path, and what they raise as our errors."""
        if self._application is None:
            self._application = _application(self._routes)
        line = Line(
            gateway=undercroft.gateway,
            ids=undercroft.ids,
            clock=undercroft.clock,
            timeout_s=undercroft.settings.server.request_timeout_s,
            loop=asyncio.get_running_loop(),
            who=exchange.caller.who,
        )
        try:
            with lent(line):
                await exchange.forward(self._application, prefix="")
        except Exception as error:
            told = _as_ours(error)
            if told is None:
                raise
            raise told from error


def _application(routes: list["BaseRoute"]) -> Any:
    from starlette.routing import Router

    router = Router(routes=routes, default=_nowhere)
    if "fastapi.routing" not in sys.modules:
        return router
    from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware

    return AsyncExitStackMiddleware(router)  # FastAPI's routes want it around them


async def _nowhere(scope: Any, *_: Any) -> None:
    raise NotFound(f"There is no {scope['path']} here.", code="unknown_route", hint="/docs lists the routes.")


def _as_ours(error: Exception) -> UndercroftError | None:
    """The error of a framework in our envelope; None for what is nobody's business but the log's."""
    from starlette.exceptions import HTTPException

    if isinstance(error, HTTPException):
        kind = InvalidRequest if error.status_code < 500 else Unavailable
        refusal: UndercroftError = kind(str(error.detail))
        refusal.status = error.status_code
        return refusal
    validation = sys.modules.get("fastapi.exceptions")
    if validation is not None and isinstance(error, validation.RequestValidationError):
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        return InvalidRequest(f"{place}: {first['msg']}.", param=str(first["loc"][-1]))
    return None
