"""Databases with the current schema, copied from one that was migrated before: a migration takes longer than a test."""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.support.postgres import PostgresServer
from undercroft.clock import SystemClock
from undercroft.storage.engine import Database, open_database


def opened(url: str | None, folder: Path, *, pool_size: int = 4) -> Database:
    """As the product opens it; the schema stays as it is."""
    return open_database(url, data_dir=folder, pool_size=pool_size, clock=SystemClock(), migrates=False)


@contextmanager
def migrated(server: PostgresServer | None, folder: Path, *, pool_size: int = 4) -> Iterator[Database]:
    """A new one on `server`, or the SQLite of `folder`."""
    if server is None:
        shutil.copytree(_sqlite_template(), folder, dirs_exist_ok=True)
        url = None
    else:
        url = server.new_database(template=_postgres_template(server))
    database = opened(url, folder, pool_size=pool_size)
    try:
        yield database
    finally:
        database.close()
        if server is not None and url is not None:
            server.drop(url)


@cache
def _postgres_template(server: PostgresServer) -> str:
    name = "migrated"
    _migrate(server.new_database(name), Path(tempfile.gettempdir()))
    return name


@cache
def _sqlite_template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="undercroft-migrated-"))
    atexit.register(shutil.rmtree, folder)
    _migrate(None, folder)
    return folder


def _migrate(url: str | None, folder: Path) -> None:
    database = opened(url, folder, pool_size=1)
    database.migrate()
    database.close()
