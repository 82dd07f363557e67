"""`GET /api/v1/models`: the configured models with what stands behind each."""

from fastapi import APIRouter
from pydantic import BaseModel

from undercroft.assembly import Undercroft


class DeploymentView(BaseModel):
    """One place that can answer for a model."""

    id: str
    provider: str
    model: str
    weight: int


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
        return ModelList(
            data=[
                ModelView(
                    name=model.name,
                    deployments=[
                        DeploymentView(id=d.id, provider=d.provider, model=d.upstream_model, weight=d.weight)
                        for d in model.deployments
                    ],
                )
                for model in undercroft.gateway.catalogue.models()
            ]
        )

    return routes
