"""Databases that somebody else made, in another encoding than ours."""

from functools import partial
from pathlib import Path

import psycopg
import pytest

from tests.support.databases import opened
from tests.support.postgres import PostgresServer
from undercroft.errors import ConfigurationError
from undercroft.storage import versions


def made(server: PostgresServer, encoding: str) -> str:
    name = f"in_{encoding.lower()}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0".encode())
    return server.url(name)


def test_a_database_without_an_encoding_keeps_every_character(postgres_server: PostgresServer, tmp_path: Path) -> None:
    database = opened(made(postgres_server, "SQL_ASCII"), tmp_path)
    database.migrate()
    database.write_sync(partial(versions.bump, name="ä 漢"))

    assert database.read_sync(versions.current) == {"ä 漢": 1}
    database.close()


def test_a_database_that_cannot_hold_every_character_is_refused(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    database = opened(made(postgres_server, "LATIN1"), tmp_path)

    with pytest.raises(ConfigurationError, match=r"LATIN1.*ENCODING 'UTF8'"):
        database.migrate()
    database.close()
