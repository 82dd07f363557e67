"""Every built-in route, in one table: what `/docs` lists and the doors are tested against."""

from typing import TYPE_CHECKING

from undercroft.api import feedback, generate, health, jobs, manage, metrics, pages
from undercroft.api.anthropic import count_tokens, messages
from undercroft.api.openai import (
    batches,
    chat,
    completions,
    embeddings,
    files,
    models,
    moderations,
    responses,
    vector_stores,
)
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft

if TYPE_CHECKING:
    from undercroft.api.app import Application


def table(application: "Application", undercroft: Undercroft) -> list[Route]:
    """The routes that this process's role has, over one assembled undercroft."""
    routes = [*health.routes(application, undercroft), *metrics.routes(undercroft)]
    roles = undercroft.settings.server.roles
    if "gateway" in roles:
        routes += generate.routes(undercroft)
        routes += chat.routes(undercroft)
        routes += completions.routes(undercroft)
        routes += embeddings.routes(undercroft)
        routes += moderations.routes(undercroft)
        routes += responses.routes(undercroft)
        routes += models.routes(undercroft)
        routes += files.routes(undercroft)
        routes += vector_stores.routes(undercroft)
        routes += batches.routes(undercroft)
        routes += messages.routes(undercroft)
        routes += count_tokens.routes(undercroft)
        routes += jobs.routes(undercroft)
        routes += feedback.routes(undercroft)
    if "console" in roles:
        routes += manage.routes(undercroft)
        routes += pages.routes(undercroft)
    return routes
