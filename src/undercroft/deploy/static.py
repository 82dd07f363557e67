"""Files of a bundle that are the same whatever is described: what is described stands in others beside them."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable


def texts(folder: str) -> dict[str, str]:
    """The files in that folder of `deploy/data`, by their path in it."""
    return dict(sorted(_texts(files("undercroft.deploy").joinpath("data", folder), prefix="")))


def _texts(folder: Traversable, *, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _texts(entry, prefix=f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry.read_text("utf-8")
