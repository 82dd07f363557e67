"""The same tests on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from undercroft.clock import SystemClock
from undercroft.storage.engine import Database, open_database


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without a schema."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    opened = open_database(url, data_dir=tmp_path, pool_size=4, clock=SystemClock(), migrates=False)
    yield opened
    opened.close()
