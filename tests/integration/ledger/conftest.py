"""Both databases, opened as the product opens them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from undercroft.clock import SystemClock
from undercroft.storage.engine import Database, open_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    database = open_database(url, data_dir=tmp_path / "data", pool_size=4, clock=SystemClock())
    database.migrate()
    yield database
    database.close()
