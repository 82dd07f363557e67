"""What PostgreSQL's errors mean, and how old it may be."""

import psycopg
import pytest
from sqlalchemy.exc import DataError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection

from undercroft.errors import ConfigurationError, Unavailable
from undercroft.storage.engines.postgresql import check_encoding, check_version, explain


def failed(kind: type[psycopg.Error], wrapper: type[OperationalError] = OperationalError) -> SQLAlchemyError:
    return wrapper("SELECT 1", {}, kind("secret of the server"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoConnection(), "database_busy"),
        (failed(psycopg.OperationalError), "database_unavailable"),
        (failed(psycopg.errors.AdminShutdown), "database_unavailable"),
        (failed(psycopg.errors.TooManyConnections), "database_unavailable"),
        (failed(psycopg.errors.QueryCanceled), "database_timeout"),
        (failed(psycopg.errors.DeadlockDetected), "database_busy"),
        (failed(psycopg.errors.LockNotAvailable), "database_busy"),
        (failed(psycopg.errors.DiskFull), "disk_full"),
        (InternalError("INSERT", {}, psycopg.errors.ReadOnlySqlTransaction("")), "database_unavailable"),
    ],
)
def test_what_passes_is_unavailable_and_says_nothing_of_the_server(error: SQLAlchemyError, code: str) -> None:
    explained = explain(error)
    assert isinstance(explained, Unavailable)
    assert explained.code == code
    assert explained.retry_after_s
    assert "secret" not in str(explained)


@pytest.mark.parametrize(
    "error",
    [
        failed(psycopg.errors.ProgramLimitExceeded),
        DataError("INSERT", {}, psycopg.errors.NumericValueOutOfRange("")),
    ],
)
def test_a_statement_at_fault_is_not_hidden(error: SQLAlchemyError) -> None:
    assert explain(error) is None


def test_a_read_that_writes_is_our_fault_and_not_a_standbys() -> None:
    error = InternalError("INSERT", {}, psycopg.errors.ReadOnlySqlTransaction(""))
    assert explain(error, is_reading=True) is None


def test_fourteen_is_too_old_and_fifteen_is_not() -> None:
    check_version(150000)
    with pytest.raises(ConfigurationError, match=r"PostgreSQL 14\.13; undercroft needs 15"):
        check_version(140013)


def test_a_database_that_cannot_hold_every_character_is_refused() -> None:
    check_encoding("UTF8")
    check_encoding("SQL_ASCII")
    with pytest.raises(ConfigurationError, match=r"LATIN1.*ENCODING 'UTF8'"):
        check_encoding("LATIN1")
