"""What the sources said, merged but not yet checked: a tree of plain values that remembers where each came from."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from undercroft.settings.locate import Place


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: a file and line, a variable of the environment, or an option of the command."""

    source: str
    line: int = 0
    name: str = ""
    """The variable, or the reference (`env:NAME`) that was followed."""

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        return f"{place} ({self.name})" if self.name else place


DEFAULT = Origin("default")


def dotted(place: Place) -> str:
    """`("models", 0, "name")` -> `models[0].name`."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


class Draft:
    """Later values replace earlier ones, together with what was known of their origin. Problems gather until all are
    known.
    """

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self.problems: list[tuple[Origin, str]] = []
        self.warnings: list[tuple[Origin, str]] = []
        self._origins: dict[Place, Origin] = {}

    def put(self, place: Place, value: Any, origin: Origin) -> None:
        """Sets a value; tables on the way are made. Where something else stands in the way, it stays, and is reported
        by validation instead.
        """
        table: Any = self.tree
        for step in place[:-1]:
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                return
        table[place[-1]] = value
        for known in [known for known in self._origins if known[: len(place)] == place]:
            del self._origins[known]
        self._origins[place] = origin

    def put_file(self, tree: dict[str, Any], origins: dict[Place, Origin]) -> None:
        """The settings file: the first source, so it replaces nothing."""
        self.tree = tree
        self._origins = origins

    def complain(self, place: Place, text: str) -> None:
        """A problem with what was written at a place."""
        self.problems.append((self.origin(place), text))

    def follow(self, place: Place, value: str, reference: str) -> None:
        """Replaces a reference such as `env:NAME` by what it stands for."""
        holder = self.value(place[:-1])
        holder[place[-1]] = value
        self._origins[place] = replace(self.origin(place), name=reference)

    def origin(self, place: Place) -> Origin:
        """The nearest known origin: the value's own, or that of what holds it."""
        for length in range(len(place), 0, -1):
            if place[:length] in self._origins:
                return self._origins[place[:length]]
        return DEFAULT

    def value(self, place: Place) -> Any:
        value: Any = self.tree
        for step in place:
            value = value[step]
        return value

    def leaves(self) -> Iterator[tuple[Place, Any]]:
        """Every value that is neither table nor list (empty ones count as values)."""
        if self.tree:
            yield from leaves(self.tree)


def leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """The values of a tree that hold no others, with their places."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*place, key))
    elif isinstance(value, list | tuple) and value:
        for position, inner in enumerate(value):
            yield from leaves(inner, (*place, position))
    else:
        yield place, value
