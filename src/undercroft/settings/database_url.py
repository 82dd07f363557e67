"""The forms in which people write a database's address, brought to one."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from undercroft.settings.explain import did_you_mean

POSTGRESQL: Final = "postgresql+psycopg"
_POSTGRESQL_NAMES: Final = ("postgres", "postgresql", POSTGRESQL)
_FORMS: Final = "postgresql://user:password@host:5432/name, or sqlite:///path/to/file.db"


def normalise(url: str, *, directory: Path) -> str | None:
    """`postgresql+psycopg://…` or `sqlite:////absolute/path`; None for `sqlite://`, which asks for the default file.

    Raises ValueError, with words that hold nothing of the address but its scheme.
    """
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        raise ValueError(f"is no address; it takes {_FORMS}")
    if scheme in _POSTGRESQL_NAMES:
        try:
            host = urlsplit(f"{POSTGRESQL}://{rest}")
            _ = host.port
        except ValueError:
            raise ValueError(
                "has no readable host and port; write / ? # @ : in a password as %2F %3F %23 %40 %3A"
            ) from None
        return f"{POSTGRESQL}://{rest}"
    if scheme == "sqlite":
        return _sqlite(rest, directory)
    raise ValueError(f"names {scheme!r}; it takes {_FORMS}{did_you_mean(scheme, ('postgresql', 'sqlite'))}")


def _sqlite(rest: str, directory: Path) -> str | None:
    if rest in ("", "/"):
        return None
    if not rest.startswith("/"):
        raise ValueError(
            f"needs three slashes before a relative path and four before an absolute one: sqlite:///{rest}"
        )
    path = rest.removeprefix("/")
    if path == ":memory:" or "?" in path:
        raise ValueError("names no file; every process of undercroft opens the same one, without parameters")
    return f"sqlite:///{directory / path}"
