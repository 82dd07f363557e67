"""`/api/v1/requests/{id}`: why a call went the way it did, and what was said in it, where that is kept."""

from functools import partial

from fastapi import APIRouter
from pydantic import BaseModel

from undercroft.api.manage.asking import organisation, tell
from undercroft.assembly import Undercroft
from undercroft.clock import rfc3339
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


class RequestContent(BaseModel):
    """What was said in one call; secrets are replaced by `[REDACTED]`."""

    id: str
    request: str
    """JSON, as the caller wrote it, or as guards have let it through; cut where it was longer than is kept."""
    answer: str
    """JSON: `choices` with their texts, likewise."""
    created_at: str
    expires_at: str


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

    @routes.get("/requests/{id}/content")
    async def content(id: str) -> RequestContent:
        """What was asked and answered in a call, where somebody wanted that kept."""
        found = await undercroft.contents.find(organisation(), id)
        return RequestContent(
            id=id,
            request=found.request,
            answer=found.answer,
            created_at=rfc3339(found.created_us),
            expires_at=rfc3339(found.expires_us),
        )

    @routes.delete("/requests/{id}/content", status_code=204)
    async def forget_content(id: str) -> None:
        """Deletes what was asked and answered in a call; the call stays in the ledger."""
        await undercroft.contents.remove(organisation(), id)
        tell("content.delete", id)

    return routes
