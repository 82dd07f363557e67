"""Projects to begin with: the reader's own from the first line, which is why nothing in them is generated code.

A starter is a folder of files as they will be, but for a few `@@words@@` and names that start with `dot_`, so that
neither git nor a build tool takes them for its own.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from undercroft.deploy.topology import Package
from undercroft.errors import InvalidRequest
from undercroft.settings.explain import did_you_mean


@dataclass(frozen=True, slots=True)
class Starter:
    """What `undercroft new` makes."""

    summary: str
    deployments: Mapping[str, str]
    """Targets that are rendered along with it, each with its folder."""


STARTERS: Final[Mapping[str, Starter]] = {
    "simple-api": Starter("an API in one file, with tests", {}),
    "production": Starter(
        "API, worker, containers, Kubernetes and CI around code of your own",
        {"compose": ".", "kubernetes": "kubernetes"},
    ),
}
LONGEST_NAME: Final = 50


def find(name: str) -> Starter:
    """Raises InvalidRequest, with the names there are."""
    if name not in STARTERS:
        known = ", ".join(STARTERS)
        raise InvalidRequest(f"there is no starter {name!r}; there are {known}{did_you_mean(name, STARTERS)}")
    return STARTERS[name]


def project_name(folder: str) -> str:
    """The folder's name as Docker and Kubernetes take names."""
    words = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")
    return re.sub(r"^[0-9-]+", "", words)[:LONGEST_NAME].rstrip("-") or "ai-api"


def files_of(starter: str, *, name: str, package: Package) -> dict[str, str]:
    """Text by path, for a project of this name that installs undercroft from there."""

    def filled(word: re.Match[str]) -> str:
        kind, _, rest = word[1].partition(":")
        return name if kind == "name" else package.requirement(*filter(None, rest.split(",")))

    root = files("undercroft.deploy").joinpath("starters", starter)
    return {
        path: re.sub(r"@@(name|requirement:[a-z,]*)@@", filled, text) for path, text in sorted(_texts(root, prefix=""))
    }


def _texts(folder: Traversable, *, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        name = f".{entry.name.removeprefix('dot_')}" if entry.name.startswith("dot_") else entry.name
        if entry.is_dir():
            if name != "__pycache__":
                yield from _texts(entry, prefix=f"{prefix}{name}/")
        elif not name.endswith(".pyc"):
            yield f"{prefix}{name}", entry.read_text("utf-8")
