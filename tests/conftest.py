"""Fixtures that more than one folder of tests needs. A server starts when the first test asks for it."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

# A loaded machine is no reason to fail: an example's time says nothing about whether the claim holds.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# What a shell starts in the background ignores Ctrl-C and hang-ups, and so would all the servers that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer
    from undercroft.storage.engine import Database


@pytest.fixture(scope="session")
def postgres_server() -> "Iterator[PostgresServer]":
    """One server for each worker of pytest-xdist, so that no two share what a test does to it."""
    from tests.support.postgres import running_postgres

    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: "PostgresServer") -> Iterator[str]:
    """The address of an empty database, dropped after the test."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> "Iterator[Database]":
    """Both kinds in turn, with the current schema."""
    from tests.support.databases import migrated

    server = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None
    with migrated(server, tmp_path) as database:
        yield database


@pytest.fixture
def redis_url() -> Iterator[str]:
    """The address of an empty Redis."""
    from tests.support.redis import running_redis

    with running_redis() as server:
        yield server.url
