"""Slices on both databases, by the suite that is shipped for those who write another store."""

import asyncio
from collections.abc import Iterator
from functools import partial
from itertools import count

import pytest

from tests.support.databases import migrated
from undercroft.clock import SystemClock
from undercroft.ledger.slice_stores.sql import SqlSliceStore
from undercroft.storage.engine import Database
from undercroft.testing.providers import name_of
from undercroft.testing.slices import Claim, Subject, slice_claims

LEASE_S = 0.5
NUMBERS = count()


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One for all claims: each has windows of its own."""
    server = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None
    with migrated(server, tmp_path_factory.mktemp("slices"), pool_size=8) as database:
        yield database


@pytest.mark.parametrize("claim", slice_claims(), ids=name_of)
def test_the_slice_store(claim: Claim, database: Database) -> None:
    stores = [SqlSliceStore(database, clock=SystemClock(), lease_s=LEASE_S) for _ in range(2)]
    asyncio.run(claim(Subject(stores=stores, outlast=partial(asyncio.sleep, LEASE_S * 1.1), numbers=NUMBERS)))
