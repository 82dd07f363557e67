"""From method and path to the route: each route declares who may use it, so none is open by accident."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from undercroft.access.roles import Permission
from undercroft.api.exchange import Exchange
from undercroft.errors import MethodNotAllowed, NotFound

Handle = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and path template with its permission. `{name}` takes the rest of the path or, with something after it
    (`/v1/responses/{id}/cancel`), one step of it. Of several, each takes one step.

    `metered` routes are the AI routes: every request to them is a call that is counted and booked.
    """

    method: str
    path: str
    permission: Permission
    handle: Handle
    metered: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """Routes that are made when the first request for one of them comes: what reads and writes their format takes
    long to import, and a process that starts for one request needs one format."""

    begins: str
    """What their paths begin with; routes of none else do."""
    make: Callable[[], Iterable[Route]]


class Router:
    """Looks a route up: exact paths by dictionary, templates one by one."""

    def __init__(self, routes: Iterable[Route], families: Iterable[Family] = ()) -> None:
        self._families = list(families)
        self._exact: dict[str, dict[str, Route]] = {}
        self._templates: list[tuple[str, str, str, dict[str, Route]]] = []
        """Prefix, name, what comes after it, and the routes by method; the longest endings first, then the longest
        prefixes."""
        self._patterns: list[tuple[str, re.Pattern[str], dict[str, Route]]] = []
        """Of templates with several names: what comes before the first, the whole, and the routes by method."""
        self._add(routes)

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route and the path's values. Raises NotFound or MethodNotAllowed; HEAD is answered as GET."""
        methods = self._exact.get(path)
        values: Mapping[str, str] = {}
        if methods is None and self._families:
            self.make(path)
            methods = self._exact.get(path)
        if methods is None:
            methods, values = self._match(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = tuple(sorted(methods))
            raise MethodNotAllowed(f"{path} does not take {method}; it takes {', '.join(allowed)}.", allowed=allowed)
        return route, values

    def make(self, path: str | None = None) -> None:
        """Makes the families that may have a route for `path`; without one, all of them."""
        for family in self._families[:]:
            if path is None or path.startswith(family.begins):
                self._add(family.make())
                self._families.remove(family)

    def _add(self, routes: Iterable[Route]) -> None:
        for route in routes:
            self._table(route.path)[route.method] = route

    def _match(self, path: str) -> tuple[dict[str, Route], Mapping[str, str]]:
        for prefix, pattern, methods in self._patterns:
            if path.startswith(prefix) and (found := pattern.fullmatch(path)):
                return methods, found.groupdict()
        for prefix, name, ending, methods in self._templates:
            if path.startswith(prefix) and path.endswith(ending) and len(path) > len(prefix) + len(ending):
                value = path[len(prefix) : len(path) - len(ending)]
                if not ending or "/" not in value:
                    return methods, {name: value}
        raise NotFound(f"There is no {path} here.", code="unknown_route", hint="/docs lists the routes.")

    def _table(self, path: str) -> dict[str, Route]:
        if "{" not in path:
            return self._exact.setdefault(path, {})
        prefix, _, rest = path.partition("{")
        if "{" in rest:
            return self._pattern(prefix, path)
        name, _, ending = rest.partition("}")
        for known_prefix, known_name, known_ending, methods in self._templates:
            if (known_prefix, known_name, known_ending) == (prefix, name, ending):
                return methods
        methods = dict[str, Route]()
        self._templates.append((prefix, name, ending, methods))
        self._templates.sort(key=lambda template: (len(template[2]), len(template[0])), reverse=True)
        return methods

    def _pattern(self, prefix: str, path: str) -> dict[str, Route]:
        pattern = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))
        for _, known, methods in self._patterns:
            if known == pattern:
                return methods
        methods = dict[str, Route]()
        self._patterns.append((prefix, pattern, methods))
        return methods
