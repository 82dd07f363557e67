"""`GET /api/v1/models`: the configured models with what stands behind each."""

from typing import Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from undercroft.assembly import Undercroft
from undercroft.clock import rfc3339
from undercroft.gateway.balance import View
from undercroft.gateway.call import Deployment, Model
from undercroft.settings.model import Deployment as Settings


class DeploymentView(BaseModel):
    """One place that can answer for a model."""

    id: str
    provider: str
    model: str
    weight: int
    priority: int
    region: str | None
    tags: list[str]
    context_tokens: int | None
    capabilities: list[str] | None
    """None: every kind of call."""
    max_concurrency: int | None
    condition: Literal["ok", "resting", "open", "half_open", "unhealthy"]
    """As the answering process sees it. `open`: its breaker lets nothing through; `half_open`: the next call tries."""
    resting_for: str
    """failures, rate_limited, credential or quota; empty: it does not rest."""
    resting_until: str | None
    active: int
    """Calls that it answers now."""
    waiting: int
    """Calls that wait for a place with it."""
    first_token_s: float | None
    """Moving average of the time to the first piece of a stream; None: not measured."""
    whole_s: float | None
    """The same for answers that come in one piece."""


class ModelView(BaseModel):
    """A public model name."""

    name: str
    deployments: list[DeploymentView]


class ModelList(BaseModel):
    """All configured models."""

    data: list[ModelView]


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()

    @routes.get("/models")
    async def models() -> ModelList:
        """The configured models and their deployments; keys and addresses are not shown."""
        return ModelList(data=[_view(undercroft, model) for model in undercroft.gateway.catalogue.models()])

    return routes


def _view(undercroft: Undercroft, model: Model) -> ModelView:
    written = {each.name: each.deployments for each in undercroft.settings.models}.get(model.name)
    views = model.balancer.view()
    return ModelView(
        name=model.name,
        deployments=[
            _deployment(undercroft, model, place, view, written[place] if written else BUNDLED)
            for place, view in enumerate(views)
        ],
    )


BUNDLED: Final = Settings(provider="local")


def _deployment(
    undercroft: Undercroft, model: Model, place: int, view: View[Deployment], settings: Settings
) -> DeploymentView:
    deployment = view.item
    rest_us = round(view.rests_for_s * 1_000_000)
    return DeploymentView(
        id=deployment.id,
        provider=deployment.provider,
        model=deployment.upstream_model,
        weight=deployment.weight,
        priority=settings.priority,
        region=settings.region,
        tags=list(settings.tags),
        context_tokens=settings.context_tokens,
        capabilities=None if settings.capabilities is None else list(settings.capabilities),
        max_concurrency=settings.max_concurrency,
        condition=view.condition,
        resting_for=view.why,
        resting_until=rfc3339(undercroft.clock.now_us() + rest_us) if rest_us else None,
        active=view.active,
        waiting=model.line.waiting_for(place) if model.line is not None else 0,
        first_token_s=view.first_token_s or None,
        whole_s=view.whole_s or None,
    )
