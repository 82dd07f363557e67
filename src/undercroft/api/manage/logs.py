"""`/api/v1/log-level`: how much is logged, from now on, without a restart."""

import logging
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from undercroft.api.manage.asking import tell
from undercroft.assembly import Undercroft


class LogLevel(BaseModel):
    """The least severe level that is logged."""

    level: Literal["debug", "info", "warning", "error"]


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()

    @routes.get("/log-level")
    async def log_level() -> LogLevel:
        """The level that is in force in the process that answers."""
        return LogLevel.model_validate({"level": logging.getLevelName(logging.getLogger().level).lower()})

    @routes.put("/log-level")
    async def set_log_level(body: LogLevel) -> LogLevel:
        """Changes the level of the process that answers, until it ends or the level in the settings changes.

        To change it in all workers, set `[telemetry] log_level` and reload.
        """
        before = logging.getLevelName(logging.getLogger().level).lower()
        undercroft.telemetry.set_level(body.level)
        tell("log_level.set", before={"level": before}, after={"level": body.level})
        return body

    return routes
