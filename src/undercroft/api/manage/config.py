"""`/api/v1/config`: which configuration is in force, and having it read again."""

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel

from undercroft.api.manage.asking import tell
from undercroft.assembly import Undercroft
from undercroft.clock import rfc3339


class RefusalView(BaseModel):
    """A configuration that was read and not put in force."""

    at: AwareDatetime
    reason: str
    """A line for everything that is wrong, with file and line."""


class ConfigurationView(BaseModel):
    """The configuration in force."""

    generation: int
    """1 is what the server was started with; each reload counts one up."""
    loaded_at: AwareDatetime
    refusal: RefusalView | None
    """Why the last reload changed nothing; none when it was put in force."""


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()

    @routes.get("/config")
    async def config() -> ConfigurationView:
        """Which configuration is in force, and why the last reload was refused, if it was."""
        return _view(undercroft)

    @routes.post("/config/reload")
    async def reload() -> ConfigurationView:
        """Reads undercroft.toml and .env again and puts them in force in every process: all of it, or nothing (422)."""
        before = undercroft.reloads.generation
        await undercroft.reload()
        tell("config.reload", before={"generation": before}, after={"generation": undercroft.reloads.generation})
        return _view(undercroft)

    return routes


def _view(undercroft: Undercroft) -> ConfigurationView:
    reloads = undercroft.reloads
    refusal = reloads.refusal
    return ConfigurationView.model_validate(
        {
            "generation": reloads.generation,
            "loaded_at": rfc3339(reloads.loaded_us),
            "refusal": refusal and {"at": rfc3339(refusal.at_us), "reason": refusal.reason},
        }
    )
