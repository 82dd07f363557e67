"""Every built-in route, in one table: what `/docs` lists and the doors are tested against."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

from undercroft.api import generate, health, manage, metrics, pages
from undercroft.api.routing import Family, Route
from undercroft.assembly import Undercroft

if TYPE_CHECKING:
    from undercroft.api.app import Application

FAMILIES: Final[Mapping[str, str]] = {
    "/v1/chat/completions": "openai.chat",
    "/v1/completions": "openai.completions",
    "/v1/embeddings": "openai.embeddings",
    "/v1/moderations": "openai.moderations",
    "/v1/responses": "openai.responses",
    "/v1/models": "openai.models",
    "/v1/files": "openai.files",
    "/v1/vector_stores": "openai.vector_stores",
    "/v1/batches": "openai.batches",
    "/v1/messages": "anthropic.messages",
    "/v1/messages/count_tokens": "anthropic.count_tokens",
    "/api/v1/jobs": "jobs",
    "/api/v1/feedback": "feedback",
}
"""What the paths of a family begin with, and the module below this package that has its `routes`."""


def table(application: "Application", undercroft: Undercroft) -> list[Route]:
    """The routes that this process's role has, over one assembled undercroft."""
    late = [route for family in families(undercroft) for route in family.make()]
    return [*_of_every_process(application, undercroft), *late, *_of_the_console(undercroft)]


def at_once(application: "Application", undercroft: Undercroft) -> list[Route]:
    """Those that are there from the start."""
    return [*_of_every_process(application, undercroft), *_of_the_console(undercroft)]


def families(undercroft: Undercroft) -> list[Family]:
    """Those that are made when they are asked for."""
    if "gateway" not in undercroft.settings.server.roles:
        return []
    return [Family(begins, _maker(module, undercroft)) for begins, module in FAMILIES.items()]


def _of_every_process(application: "Application", undercroft: Undercroft) -> list[Route]:
    """Health and metrics, and our own format where calls are answered."""
    routes = [*health.routes(application, undercroft), *metrics.routes(undercroft)]
    return [*routes, *generate.routes(undercroft)] if "gateway" in undercroft.settings.server.roles else routes


def _of_the_console(undercroft: Undercroft) -> list[Route]:
    if "console" not in undercroft.settings.server.roles:
        return []
    return [*manage.routes(undercroft), *pages.routes(undercroft)]


def _maker(module: str, undercroft: Undercroft) -> Callable[[], list[Route]]:
    def make() -> list[Route]:
        made: list[Route] = import_module(f"undercroft.api.{module}").routes(undercroft)
        return made

    return make


def load() -> None:
    """Imports what the families are made of; may run in a thread."""
    for module in FAMILIES.values():
        import_module(f"undercroft.api.{module}")
