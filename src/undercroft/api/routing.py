"""From method and path to the route: each route declares who may use it, so none is open by accident."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from undercroft.access.doors import Permission
from undercroft.api.exchange import Exchange
from undercroft.errors import MethodNotAllowed, NotFound

Handle = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and path template (`{name}` takes the rest of the path) with its permission.

    `metered` routes are the AI routes: every request to them is a call that is counted and booked.
    """

    method: str
    path: str
    permission: Permission
    handle: Handle
    metered: bool = False


class Router:
    """Looks a route up: exact paths by dictionary, templates one by one."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._exact: dict[str, dict[str, Route]] = {}
        self._templates: list[tuple[str, str, dict[str, Route]]] = []
        for route in self.routes:
            self._table(route.path)[route.method] = route

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route and the path's values. Raises NotFound or MethodNotAllowed; HEAD is answered as GET."""
        methods = self._exact.get(path)
        values: Mapping[str, str] = {}
        if methods is None:
            methods, values = self._match(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = tuple(sorted(methods))
            raise MethodNotAllowed(f"{path} does not take {method}; it takes {', '.join(allowed)}.", allowed=allowed)
        return route, values

    def _match(self, path: str) -> tuple[dict[str, Route], Mapping[str, str]]:
        for prefix, name, methods in self._templates:
            if path.startswith(prefix) and len(path) > len(prefix):
                return methods, {name: path[len(prefix) :]}
        raise NotFound(f"There is no {path} here.", code="unknown_route", hint="/docs lists the routes.")

    def _table(self, path: str) -> dict[str, Route]:
        if "{" not in path:
            return self._exact.setdefault(path, {})
        prefix, _, rest = path.partition("{")
        name = rest.removesuffix("}")
        for known_prefix, known_name, methods in self._templates:
            if (known_prefix, known_name) == (prefix, name):
                return methods
        methods = dict[str, Route]()
        self._templates.append((prefix, name, methods))
        return methods
