"""`/health`, `/health/live`, `/health/ready`: for people and orchestrators."""

from typing import TYPE_CHECKING

import msgspec

from undercroft import __version__
from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft

if TYPE_CHECKING:
    from undercroft.api.app import Application


def routes(application: "Application", undercroft: Undercroft) -> list[Route]:
    async def health(exchange: Exchange) -> None:
        """200 as long as requests can be served; 503 names what is away (database, broker, disk)."""
        report = undercroft.health()
        await _answer(exchange, 503 if report.failing else 200, report.status, report.checks)

    async def live(exchange: Exchange) -> None:
        """200 as long as the process runs."""
        await _answer(exchange, 200, "ok", {})

    async def ready(exchange: Exchange) -> None:
        """200 when new work may be sent here: not while winding down, loading a model or waiting for a migration."""
        report = undercroft.health()
        checks = dict(report.checks)
        if application.closing:
            checks["server"] = "shutting down"
        waiting = application.closing or bool(report.failing) or report.loading
        await _answer(exchange, 503 if waiting else 200, "unavailable" if waiting else report.status, checks)

    return [
        Route("GET", "/health", "open", health),
        Route("GET", "/health/live", "open", live),
        Route("GET", "/health/ready", "open", ready),
    ]


async def _answer(exchange: Exchange, code: int, status: str, checks: dict[str, str]) -> None:
    body = msgspec.json.encode({"status": status, "version": __version__, "checks": checks})
    headers = [(b"cache-control", b"no-store")]
    if code == 503:
        headers.append((b"retry-after", b"1"))
    await exchange.respond(body, status=code, headers=headers)
