"""The management API: FastAPI, built when the first of its requests comes, below `/api/v1`."""

from functools import lru_cache
from typing import TYPE_CHECKING

from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft

if TYPE_CHECKING:
    from fastapi import FastAPI

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def routes(undercroft: Undercroft) -> list[Route]:
    """One route a method: FastAPI does the rest of the matching. All of them demand the right to manage."""

    async def manage(exchange: Exchange) -> None:
        await exchange.forward(management_app(undercroft), prefix="/api/v1")

    return [Route(method, "/api/v1/{rest}", "manage", manage) for method in METHODS]


@lru_cache(maxsize=1)  # a reload makes another undercroft, and the one before is to go
def management_app(undercroft: Undercroft) -> "FastAPI":
    """Importing FastAPI takes 0.2 s and 14 MB: a gateway that is not managed over HTTP never pays."""
    from undercroft.api.manage.app import build

    return build(undercroft)
