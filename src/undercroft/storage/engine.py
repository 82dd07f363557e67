"""The one way to the database, whichever it is: SQLite inside the process or a PostgreSQL server."""

from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from undercroft.clock import Clock
from undercroft.errors import ConfigurationError, MissingExtra
from undercroft.storage.migrate import SchemaState
from undercroft.storage.transaction import Work

T = TypeVar("T")

FILE_NAME = "undercroft.db"


class Database(Protocol):
    """Runs works, each in one transaction.

    Raises `Unavailable` when the database cannot be reached or has no time, and leaves integrity errors SQLAlchemy's.
    A refused turn was not begun; a write that broke off at its very end may have been committed.
    """

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]: ...

    async def read(self, work: Work[T], /) -> T:
        """Runs `work` on one snapshot; writing is refused."""
        ...

    async def write(self, work: Work[T], /) -> T:
        """Runs `work` in one transaction; returns after its commit, and nothing of it stays if it raises."""
        ...

    async def others_writes(self) -> int | None:
        """A number that changes whenever somebody else has written, told after all writes that were begun here before;
        None where there is none as cheap as this."""
        ...

    def read_sync(self, work: Work[T], /) -> T:
        """`read` for threads and the command line."""
        ...

    def write_sync(self, work: Work[T], /) -> T:
        """`write` for threads and the command line."""
        ...

    async def state(self) -> SchemaState:
        """Whether the schema is this version's; never raises for a database that is away."""
        ...

    def state_sync(self) -> SchemaState:
        """`state` for threads and the command line."""
        ...

    def migrate(self, target: str = "head", /) -> tuple[str | None, str | None]:
        """Brings the schema to `target`, one process at a time; returns the revisions before and after."""
        ...

    def close(self) -> None:
        """Finishes what was accepted and lets go of every connection."""
        ...


def open_database(
    url: str | None, *, data_dir: Path, pool_size: int, clock: Clock, is_durable: bool = False, migrates: bool = True
) -> Database:
    """The database behind `url`; without one, SQLite in `data_dir`.

    SQLite is opened, and its schema made current, before this returns (`migrates=False` leaves it as it is); a
    PostgreSQL server is first spoken to when it is needed and never migrated by itself. `is_durable` asks SQLite to
    survive a loss of power too, not only of the process.
    """
    file = data_dir / FILE_NAME if url is None else _sqlite_file(url)
    if file is not None:
        # Only the engine that is used is imported, with its dialect and driver.
        from undercroft.storage.engines.sqlite import SqliteDatabase

        return SqliteDatabase(file, clock=clock, is_durable=is_durable, migrates=migrates)
    parsed = _server(url or "")
    try:
        from undercroft.storage.engines.postgresql import PostgresDatabase
    except ImportError as error:  # psycopg, or the libpq under it
        raise MissingExtra("PostgreSQL", extra="postgres") from error
    return PostgresDatabase(parsed, pool_size=pool_size)


def dialect_of(url: str | None) -> Literal["sqlite", "postgresql"]:
    """Which database `url` means."""
    return "sqlite" if url is None or _sqlite_file(url) else "postgresql"


def _sqlite_file(url: str) -> Path | None:
    """The path of an SQLite address, taken as it is written: a % in a file's name is a %."""
    scheme, _, rest = url.partition("://")
    if scheme != "sqlite":
        return None
    if rest in ("", "/", "/:memory:") or not rest.startswith("/"):
        raise ConfigurationError("The SQLite address names no file.", hint=_FORMS)
    return Path(rest[1:])


def _server(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError("DATABASE_URL cannot be read.", hint=_FORMS) from error
    name = parsed.drivername.partition("+")[0]
    if name not in ("postgres", "postgresql"):
        raise ConfigurationError(f"DATABASE_URL names {name!r}, which is no database undercroft knows.", hint=_FORMS)
    return parsed.set(drivername="postgresql+psycopg")


_FORMS: Final = "It looks like postgresql://user:password@host:5432/name or sqlite:///path/to/file.db."
