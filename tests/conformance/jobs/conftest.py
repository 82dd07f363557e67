"""The same tests on both databases."""

import pytest

from tests.support.jobs import JobRows
from undercroft.clock import SystemClock
from undercroft.storage.engine import Database


@pytest.fixture
def rows(database: Database) -> JobRows:
    return JobRows(database, SystemClock().now_us())
