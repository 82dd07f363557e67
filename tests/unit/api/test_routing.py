import pytest

from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route, Router
from undercroft.errors import MethodNotAllowed, NotFound


async def handle(_: Exchange) -> None:
    """Never called."""


def router(*routes: tuple[str, str]) -> Router:
    return Router(Route(method, path, "ai", handle) for method, path in routes)


THINGS = router(
    ("GET", "/things"),
    ("GET", "/things/{id}"),
    ("DELETE", "/things/{id}"),
    ("POST", "/things/{id}/cancel"),
    ("GET", "/things/{id}/parts"),
    ("POST", "/things/count"),
    ("GET", "/things/{id}/parts/{part}"),
    ("DELETE", "/things/{id}/parts/{part}"),
    ("GET", "/things/{id}/parts/{part}/text"),
)


@pytest.mark.parametrize(
    ("method", "path", "template", "values"),
    [
        ("GET", "/things", "/things", {}),
        ("GET", "/things/a", "/things/{id}", {"id": "a"}),
        ("HEAD", "/things/a", "/things/{id}", {"id": "a"}),
        ("DELETE", "/things/a", "/things/{id}", {"id": "a"}),
        ("GET", "/things/a/b", "/things/{id}", {"id": "a/b"}),
        ("POST", "/things/a/cancel", "/things/{id}/cancel", {"id": "a"}),
        ("GET", "/things/a/parts", "/things/{id}/parts", {"id": "a"}),
        ("POST", "/things/count", "/things/count", {}),
        ("GET", "/things/a/parts/b", "/things/{id}/parts/{part}", {"id": "a", "part": "b"}),
        ("DELETE", "/things/a/parts/b", "/things/{id}/parts/{part}", {"id": "a", "part": "b"}),
        ("GET", "/things/a/parts/b/text", "/things/{id}/parts/{part}/text", {"id": "a", "part": "b"}),
    ],
)
def test_a_path_finds_its_route(method: str, path: str, template: str, values: dict[str, str]) -> None:
    route, found = THINGS.find(method, path)
    assert (route.path, found) == (template, values)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/things/a/cancel", ("POST",)),
        ("POST", "/things/a", ("DELETE", "GET")),
        ("GET", "/things/count", ("POST",)),
    ],
)
def test_another_method_is_told_which_there_are(method: str, path: str, allowed: tuple[str, ...]) -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        THINGS.find(method, path)
    assert refused.value.allowed == allowed


@pytest.mark.parametrize("path", ["/", "/things/", "/thing", "/thingsx"])
def test_what_is_nowhere_is_404(path: str) -> None:
    with pytest.raises(NotFound):
        THINGS.find("GET", path)


def test_an_ending_needs_something_before_it() -> None:
    assert THINGS.find("GET", "/things//parts")[1] == {"id": "/parts"}
