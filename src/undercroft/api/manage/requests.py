"""`GET /api/v1/requests/{id}/explanation`: why a call went the way it did."""

from functools import partial

from fastapi import APIRouter
from pydantic import BaseModel

from undercroft.api.manage.asking import organisation
from undercroft.assembly import Undercroft
from undercroft.errors import NotFound
from undercroft.ledger.explanation import call_of, explain


class ExplanationStep(BaseModel):
    """One step of the story."""

    step: str
    """asked, budget, cache, attempt, answer, tokens or cost."""
    text: str


class RequestExplanation(BaseModel):
    """What became of one call, from the ledger."""

    id: str
    started_at: str
    model: str
    deployment: str
    """The last one that was asked; empty: none was."""
    status: int
    error: str
    attempts: int
    cache: str
    """hit, semantic, coalesced, miss, or empty: the cache had no part in it."""
    cost_usd: str
    saved_usd: str
    held_usd: str
    """What was held of budgets while it ran."""
    steps: list[ExplanationStep]


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()

    @routes.get("/requests/{id}/explanation")
    async def explanation(id: str) -> RequestExplanation:
        """Why a call went the way it did, step by step: `undercroft why`."""
        record = await undercroft.link.read(partial(call_of, id=id, organisation=organisation()))
        if record is None:
            raise NotFound(
                f"There is no call '{id}' in the ledger.",
                hint="A call is booked a moment after its answer has ended.",
            )
        return RequestExplanation.model_validate(explain(record), from_attributes=True)

    return routes
