"""Virtual keys in a server's database, put there from outside as another process of the installation would."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, update

from undercroft.access.keys import NewKey, make_key
from undercroft.clock import SystemClock
from undercroft.storage.counters import KEYS
from undercroft.storage.engine import Database, open_database
from undercroft.storage.schema import api_keys, organisations, teams, users
from undercroft.storage.versions import bump


def add_key(
    folder: Path,
    *,
    permissions: tuple[str, ...] = ("ai",),
    expires_in_s: float | None = None,
    url: str | None = None,
    organisation: str = "default",
) -> NewKey:
    """A new key of an organisation's default user, for the server that runs in `folder`. Another organisation than the
    default one is made for it."""
    now_us, key = SystemClock().now_us(), make_key(os.urandom)
    row: dict[str, Any] = {
        "organisation": organisation,
        "id": key.id,
        "team": "default",
        "user_id": "default",
        "name": "a test's",
        "hash": key.hash,
        "permissions": list(permissions),
        "created_us": now_us,
        "expires_us": None if expires_in_s is None else now_us + round(expires_in_s * 1_000_000),
    }

    def add(connection: Connection) -> None:
        if organisation != "default":
            named = {"name": organisation, "created_us": now_us}
            inside = {"organisation": organisation, "id": "default", **named}
            connection.execute(insert(organisations).values(id=organisation, **named))
            connection.execute(insert(teams).values(inside))
            connection.execute(insert(users).values({**inside, "team": "default"}))
        connection.execute(insert(api_keys).values(row))
        bump(connection, KEYS)

    with opened(folder, url) as database:
        database.write_sync(add)
    return key


def revoke_key(folder: Path, key: NewKey, *, url: str | None = None) -> None:
    """The key is worth nothing from now on."""

    def revoke(connection: Connection) -> None:
        row = update(api_keys).where(api_keys.c.id == key.id)
        connection.execute(row.values(revoked_us=SystemClock().now_us()))
        bump(connection, KEYS)

    with opened(folder, url) as database:
        database.write_sync(revoke)


@contextmanager
def opened(folder: Path, url: str | None = None) -> Iterator[Database]:
    """The database of the server that runs in `folder`."""
    database = open_database(url, data_dir=folder / ".undercroft", pool_size=1, clock=SystemClock(), migrates=False)
    try:
        yield database
    finally:
        database.close()
