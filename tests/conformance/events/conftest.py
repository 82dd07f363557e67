"""The same tests on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from undercroft.clock import SystemClock
from undercroft.storage.engine import Database, open_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with the current schema."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    opened = open_database(url, data_dir=tmp_path, pool_size=4, clock=SystemClock(), migrates=False)
    opened.migrate()
    yield opened
    opened.close()
