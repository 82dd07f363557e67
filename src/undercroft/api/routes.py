"""Every built-in route, in one table: what `/docs` lists and the doors are tested against."""

from typing import TYPE_CHECKING

from undercroft.api import generate, health, manage, metrics, pages
from undercroft.api.openai import chat, completions, embeddings, models
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft

if TYPE_CHECKING:
    from undercroft.api.app import Application


def table(application: "Application", undercroft: Undercroft) -> list[Route]:
    """The routes over one assembled undercroft."""
    return [
        *health.routes(application, undercroft),
        *generate.routes(undercroft),
        *chat.routes(undercroft),
        *completions.routes(undercroft),
        *embeddings.routes(undercroft),
        *models.routes(undercroft),
        *metrics.routes(undercroft),
        *manage.routes(undercroft),
        *pages.routes(undercroft),
    ]
