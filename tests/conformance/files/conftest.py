"""The same tests on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from undercroft.clock import SystemClock
from undercroft.storage.engine import Database, open_database


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One for all tests of a file: each has organisations of its own."""
    folder: Path = tmp_path_factory.mktemp("files")
    url = request.getfixturevalue("postgres_server").new_database() if request.param == "postgresql" else None
    opened = open_database(url, data_dir=folder, pool_size=2, clock=SystemClock())
    opened.migrate()
    yield opened
    opened.close()
