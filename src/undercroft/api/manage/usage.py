"""`GET /api/v1/usage`: what was used and what it cost."""

from functools import partial
from typing import Literal

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel

from undercroft.api.manage.asking import organisation
from undercroft.assembly import Undercroft
from undercroft.ledger.usage import UsageLine, sum_usage
from undercroft.money import format_usd


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
    """A row a group."""

    by: str
    data: list[UsageRow]


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()

    @routes.get("/usage")
    async def usage(
        by: Literal["key", "model", "provider", "day"] = "model",
        since: AwareDatetime | None = None,
        until: AwareDatetime | None = None,
    ) -> UsageReport:
        """What was used and what it cost, exact to the nano-dollar."""
        query = partial(
            sum_usage,
            organisation=organisation(),
            by=by,
            since_us=round(since.timestamp() * 1_000_000) if since else None,
            until_us=round(until.timestamp() * 1_000_000) if until else None,
        )
        return UsageReport(by=by, data=[_row(line) for line in await undercroft.link.read(query)])

    return routes


def _row(line: UsageLine) -> UsageRow:
    return UsageRow(
        group=line.group,
        calls=line.calls,
        errors=line.errors,
        input_tokens=line.usage.input,
        output_tokens=line.usage.output,
        cache_read_tokens=line.usage.cache_read,
        cost_usd=format_usd(line.cost_nano),
        unpriced_calls=line.unpriced,
    )
