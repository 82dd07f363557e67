"""A duty has at most one holder, whatever processes do and clocks say."""

import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Connection, select

from undercroft.clock import SystemClock
from undercroft.storage import duties
from undercroft.storage.engine import Database
from undercroft.storage.schema import duties as table

LONG_US = 3_600_000_000
SHORT_US = 50_000


def hold(database: Database, holder: str, *, lease_us: int = LONG_US, name: str = "ship") -> bool:
    def work(connection: Connection) -> bool:
        return duties.try_hold(connection, name, holder=holder, now_us=SystemClock().now_us(), lease_us=lease_us)

    return database.write_sync(work)


def token(database: Database) -> int:
    tokens = database.read_sync(lambda connection: list(connection.scalars(select(table.c.token))))
    assert len(tokens) == 1
    return int(tokens[0])


def test_the_first_holds_and_renews_and_the_second_does_not(database: Database) -> None:
    assert hold(database, "a")
    assert hold(database, "a")
    assert not hold(database, "b")
    assert hold(database, "b", name="reap")


def test_a_lease_that_ran_out_passes_on_and_the_token_counts_it(database: Database) -> None:
    assert hold(database, "a", lease_us=SHORT_US)
    assert token(database) == 1
    time.sleep(SHORT_US / 1e6 * 2)
    assert hold(database, "b")
    assert token(database) == 2
    assert not hold(database, "a")


def test_a_renewed_lease_is_counted_from_its_renewal(database: Database) -> None:
    assert hold(database, "a", lease_us=SHORT_US)
    assert hold(database, "a")
    time.sleep(SHORT_US / 1e6 * 2)
    assert not hold(database, "b")
    assert token(database) == 1


def test_a_released_duty_is_free_at_once_but_only_its_holder_releases_it(database: Database) -> None:
    assert hold(database, "a")
    database.write_sync(lambda connection: duties.release(connection, "ship", holder="b"))
    assert not hold(database, "b")
    database.write_sync(lambda connection: duties.release(connection, "ship", holder="a"))
    assert hold(database, "b")


def test_of_many_that_offer_at_once_exactly_one_holds(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda number: hold(database, f"p{number}"), range(24))) == 1
