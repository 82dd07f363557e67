"""`GET /api/v1/slo`: how the promises of `[slo]` stand."""

from functools import partial

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel

from undercroft.api.manage.asking import organisation
from undercroft.assembly import Undercroft
from undercroft.ledger.objectives import objectives


class ObjectiveState(BaseModel):
    """A share of calls that was to be good, and is."""

    name: str
    target: float
    threshold_s: float | None
    calls: int
    bad: int
    share: float | None
    """Of good calls; null: there were none."""
    budget_left: float | None
    """1: nothing was bad; 0: as much as was allowed; below 0: the promise is broken."""
    burn_rate: float | None
    """How many times faster than allowed the budget was used in the last hour."""


class CostState(BaseModel):
    """What a call was to cost on average, and does."""

    target_usd: str
    calls: int
    average_usd: str | None
    budget_left: float | None


class SloReport(BaseModel):
    """All promises, over the window that ends now."""

    window_days: int
    objectives: list[ObjectiveState]
    cost_per_request: CostState | None


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()

    @routes.get("/slo")
    async def slo() -> SloReport:
        """What is left of each error budget, counted from the ledger."""
        query = partial(
            objectives, slo=undercroft.settings.slo, organisation=organisation(), now_us=undercroft.clock.now_us()
        )
        return SloReport.model_validate(msgspec.to_builtins(await undercroft.link.read(query)))

    return routes
