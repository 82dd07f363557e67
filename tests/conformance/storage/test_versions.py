"""Counters that only go up, with the change they announce."""

from functools import partial

import pytest
from sqlalchemy import Connection

from undercroft.storage import versions
from undercroft.storage.engine import Database


def test_each_bump_is_seen_and_names_do_not_mix(database: Database) -> None:
    assert database.read_sync(versions.current) == {}
    for name in ("keys", "keys", "prices"):
        database.write_sync(partial(versions.bump, name=name))
    assert database.read_sync(versions.current) == {"keys": 2, "prices": 1}


def test_a_change_that_is_taken_back_is_not_announced(database: Database) -> None:
    def work(connection: Connection) -> None:
        versions.bump(connection, "keys")
        raise KeyError("changed its mind")

    with pytest.raises(KeyError):
        database.write_sync(work)
    assert database.read_sync(versions.current) == {}
