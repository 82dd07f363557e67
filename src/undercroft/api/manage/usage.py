"""`GET /api/v1/usage`: what was used and what it cost."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from undercroft.assembly import Undercroft


class UsageRow(BaseModel):
    """Sums over the calls of one key, model, provider or day."""

    group: str
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cost_usd: str
    """Exact, as a decimal string."""
    unpriced_calls: int
    """Calls whose model has no known price; they are in no cost."""


class UsageReport(BaseModel):
    """Rows, largest cost first (days in order)."""

    by: str
    since: str
    data: list[UsageRow]


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()

    @routes.get("/usage")
    async def usage(
        by: Literal["key", "model", "provider", "day"] = "model",
        since: Annotated[str, Query(description="A duration such as 7d or 24h, or a date")] = "30d",
    ) -> UsageReport:
        """What was used and what it cost, exact to the nano-dollar."""
        raise NotImplementedError

    return routes
