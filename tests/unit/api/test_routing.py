import pytest

from undercroft.api.exchange import Exchange
from undercroft.api.routing import Family, Route, Router
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


class Made:
    """Two families, and which of them have been made."""

    def __init__(self) -> None:
        self.names: list[str] = []
        families = [Family("/a", lambda: self._routes("/a")), Family("/b/c", lambda: self._routes("/b/c"))]
        self.router = Router([Route("GET", "/b/{rest}", "read", handle), Route("GET", "/", "open", handle)], families)

    def _routes(self, begins: str) -> list[Route]:
        self.names.append(begins)
        return [Route("POST", begins, "ai", handle), Route("GET", f"{begins}/{{id}}", "ai", handle)]


def test_a_family_is_made_once_by_the_first_request_that_may_be_its() -> None:
    made = Made()
    assert made.router.find("GET", "/")[0].path == "/"
    assert made.names == []
    for _ in range(2):
        assert made.router.find("POST", "/a")[0].path == "/a"
        assert made.router.find("GET", "/a/1") == (made.router.find("GET", "/a/1")[0], {"id": "1"})
    assert made.names == ["/a"]


def test_a_wider_template_takes_nothing_of_a_family_that_is_not_made_yet() -> None:
    made = Made()
    assert made.router.find("GET", "/b/d")[0].permission == "read"
    assert made.router.find("GET", "/b/c/1")[0].permission == "ai"
    assert made.names == ["/b/c"]


def test_a_path_that_no_family_has_is_not_found_and_makes_none() -> None:
    made = Made()
    with pytest.raises(NotFound):
        made.router.find("GET", "/x")
    assert made.names == []


def test_another_method_of_a_family_is_told_which_there_are() -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        Made().router.find("GET", "/a")
    assert refused.value.allowed == ("POST",)


def test_all_families_are_made_at_once_when_there_is_time() -> None:
    made = Made()
    made.router.make()
    made.router.make()
    assert made.names == ["/a", "/b/c"]
    assert made.router.find("GET", "/b/c/1")[0].permission == "ai"
