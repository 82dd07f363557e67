"""The management API: FastAPI, built when the first of its requests comes, below `/api/v1`."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from undercroft.access.doors import demand
from undercroft.api.exchange import Exchange
from undercroft.api.manage.asking import Asking, begin
from undercroft.api.manage.rights import UNCHANGING, demand_of
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.errors import NotAllowed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastapi import FastAPI
    from starlette.routing import BaseRoute

PREFIX: Final = "/api/v1"
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_CONVERTOR: Final = re.compile(r":\w+(?=})")
"""In a template of Starlette's, how a part of the path is read: `{name:path}`."""
HEADERS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


def routes(undercroft: Undercroft) -> list[Route]:
    """One route a method: FastAPI does the rest of the matching, and `rights.py` says what each of them demands."""
    limits = undercroft.settings.server.limits

    async def manage(exchange: Exchange) -> None:
        application = management_app(undercroft)
        method, path = exchange.method, template_of(application, exchange)
        if path is not None:
            check(exchange, method, path)
        body = await exchange.body(limit=limits.max_body_bytes, timeout_s=limits.body_timeout_s)
        ask = Asking(
            caller=exchange.caller,
            address=exchange.peer,
            host=exchange.header(b"host"),
            scheme=exchange.scheme,
            request=exchange.id,
            session=exchange.session,
        )
        begin(ask)
        exchange.extra_headers = (*exchange.extra_headers, *HEADERS)

        async def write_down(status: int) -> None:
            is_change = method not in ("GET", "HEAD") and path not in UNCHANGING
            if status < 400 and is_change and not ask.is_written:
                from undercroft.access.audit import Act

                act = ask.act or Act(action="route.call", subject=f"{method} {exchange.path}")
                await undercroft.access.note(act, origin=ask.origin)

        await exchange.forward(application, prefix=PREFIX, body=body, before=write_down)

    async def sign_in(exchange: Exchange) -> None:
        """Signs in with name and password: the answer sets the session's cookie."""
        undercroft.link.demand_migrated()
        await manage(exchange)

    async def session(exchange: Exchange) -> None:
        """Who is signed in, and the token that every change must carry in `x-csrf-token`."""
        await manage(exchange)

    async def sign_out(exchange: Exchange) -> None:
        """Ends the session."""
        await manage(exchange)

    at = f"{PREFIX}/session"
    return [
        Route("POST", at, "open", sign_in),
        Route("GET", at, "read", session),
        Route("DELETE", at, "read", sign_out),
        *(Route(method, f"{PREFIX}/{{rest}}", "read", manage) for method in METHODS),
    ]


def check(exchange: Exchange, method: str, path: str) -> None:
    """Raises NotAllowed where the caller may not use a management route, by its path template."""
    wanted = demand_of(method, path)
    if wanted.permission == "open":
        return
    demand(exchange.caller, wanted.permission)
    if wanted.installation and exchange.caller.who.organisation != "default":
        raise NotAllowed("This route concerns the whole installation, and is not for a single organisation.")
    if not exchange.caller.rights.admits_route(f"{PREFIX}{path}"):
        raise NotAllowed(f"This key may not use {PREFIX}{path}.", code="route_not_allowed")


def template_of(application: "FastAPI", exchange: Exchange) -> str | None:
    """The template of the very route that will answer; None where there is none, which is answered with 404 or 405."""
    from starlette.routing import Match

    scope = {**exchange.scope, "root_path": str(exchange.scope.get("root_path", "")) + PREFIX}
    for route in _single(application.router.routes):
        match, _ = route.matches(scope)
        if match is Match.FULL:
            return _CONVERTOR.sub("", str(getattr(route, "path", "")))
    return None


def _single(routes: "Sequence[BaseRoute]") -> "Iterator[BaseRoute]":
    """The routes themselves: a newer FastAPI keeps those of an included router together. (None of ours has a prefix.)
    Should it come to hide them, no path is found, and what is not found is the admin's alone."""
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is None:
            yield route
        else:
            yield from _single(router.routes)


@lru_cache(maxsize=1)  # a reload makes another undercroft, and the one before is to go
def management_app(undercroft: Undercroft) -> "FastAPI":
    """Importing FastAPI takes 0.2 s and 14 MB: a gateway that is not managed over HTTP never pays."""
    from undercroft.api.manage.app import build

    return build(undercroft)
