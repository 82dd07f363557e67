"""`/api/v1/cache/{id}`: a cached answer, looked at and removed."""

from fastapi import APIRouter
from pydantic import BaseModel

from undercroft.api.manage.asking import organisation, tell
from undercroft.assembly import Undercroft
from undercroft.clock import rfc3339
from undercroft.money import format_usd


class CachedAnswer(BaseModel):
    """What is known of an answer that is given again; its text is shown to those alone who ask for it."""

    id: str
    model: str
    deployment: str
    """Which one made it."""
    is_stream: bool
    created_at: str
    expires_at: str
    cost_usd: str
    """What it cost, which each hit saves."""


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()

    @routes.get("/cache/{id}")
    async def show_cached(id: str) -> CachedAnswer:
        """A cached answer by the id in `x-undercroft-cache-id`."""
        entry = await undercroft.answers.find(organisation(), id)
        return CachedAnswer(
            id=id,
            model=entry.model,
            deployment=entry.deployment,
            is_stream=not entry.chunks[0].whole and len(entry.chunks) > 1,
            created_at=rfc3339(entry.created_us),
            expires_at=rfc3339(entry.expires_us),
            cost_usd=format_usd(entry.cost_nano),
        )

    @routes.delete("/cache/{id}", status_code=204)
    async def remove_cached(id: str) -> None:
        """Removes a cached answer: the next call that asks the same is answered anew, whichever process takes it."""
        await undercroft.answers.remove(organisation(), id)
        tell("cache.delete", id)

    return routes
