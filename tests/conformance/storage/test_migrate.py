"""Up, down, again, and what the state says in between."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, inspect, select, text

from undercroft.errors import ConfigurationError
from undercroft.storage.engine import Database
from undercroft.storage.migrate import HEAD
from undercroft.storage.schema import metadata, organisations


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def test_an_empty_database_says_so_and_what_to_type(empty_database: Database) -> None:
    state = asyncio.run(empty_database.state())
    assert (state.kind, state.revision) == ("empty", None)
    assert "undercroft migrate" in state.reason


def test_migrating_makes_it_ready_and_again_changes_nothing(empty_database: Database) -> None:
    assert empty_database.migrate() == (None, HEAD)
    assert asyncio.run(empty_database.state()).is_ready
    assert empty_database.migrate() == (HEAD, HEAD)
    assert len(empty_database.read_sync(lambda connection: connection.execute(select(organisations)).all())) == 1


def test_downgrading_to_base_takes_every_table_away_and_the_way_up_is_open(database: Database) -> None:
    assert database.migrate("base") == (HEAD, None)
    assert database.read_sync(tables) == {"alembic_version"}
    assert database.state_sync().kind == "empty"
    assert database.migrate() == (None, HEAD)
    assert database.read_sync(tables) == {"alembic_version", *metadata.tables}


def test_an_unknown_revision_is_refused_with_those_there_are(database: Database) -> None:
    with pytest.raises(ConfigurationError, match=r"no revision '0999'.*0001, 0002.*head, base"):
        database.migrate("0999")


def newer(database: Database, *, oldest_code: int) -> None:
    """As another version would have left it, which `oldest_code` can live with."""
    change = f"UPDATE alembic_version SET version_num = '0999', oldest_code = {oldest_code}"
    database.write_sync(lambda connection: connection.execute(text(change)))


def test_a_newer_schema_that_left_what_we_need_is_used_and_left_alone(database: Database) -> None:
    newer(database, oldest_code=int(HEAD))

    assert (database.state_sync().kind, database.state_sync().revision) == ("ready", "0999")
    assert database.migrate() == ("0999", "0999")
    with pytest.raises(ConfigurationError, match="its schema 0999 is newer"):
        database.migrate("0001")


def test_a_newer_schema_is_named_with_the_newest_we_know_and_left_alone(database: Database) -> None:
    newer(database, oldest_code=999)
    state = database.state_sync()
    assert (state.kind, state.revision) == ("newer", "0999")
    assert "0999" in state.reason
    assert HEAD in state.reason
    with pytest.raises(ConfigurationError, match=f"0999.*{HEAD}"):
        database.migrate()


def test_a_migration_that_fails_leaves_nothing_behind(empty_database: Database) -> None:
    """The name of its last table is taken; everything before it is taken back."""
    empty_database.write_sync(lambda connection: connection.execute(text("CREATE TABLE versions (name TEXT)")))
    with pytest.raises(Exception, match=r"versions.*already exists"):
        empty_database.migrate()
    assert empty_database.read_sync(tables) - {"alembic_version"} == {"versions"}
    assert empty_database.state_sync().kind == "empty"


def test_several_that_migrate_at_once_do_it_once(empty_database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: empty_database.migrate(), range(4)))
    assert sorted(outcomes, key=str) == [(HEAD, HEAD)] * 3 + [(None, HEAD)]
