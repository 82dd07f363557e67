"""A PostgreSQL server, spoken to when it is needed: bounded waits, and every loss of it the same error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeVar

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.pool import ConnectionPoolEntry

from undercroft.errors import ConfigurationError, Unavailable, UndercroftError
from undercroft.storage import migrate
from undercroft.storage.engines.postgresql_kept import KeptSessions, doubt
from undercroft.storage.engines.postgresql_turn import Line
from undercroft.storage.migrate import SchemaState
from undercroft.storage.plain import LINE, explained
from undercroft.storage.transaction import Threads, Work, busy

T = TypeVar("T")

OLDEST: Final = 15
POOL_WAIT_S: Final = 5.0
CONNECTION: Final = {
    "connect_timeout": 3,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "fallback_application_name": "undercroft",
    "client_encoding": "utf8",
}
"""So that a server that vanished without a word is noticed; what the address says itself wins. Text is UTF-8 whatever
the database prefers: one of SQL_ASCII would hand out bytes."""
ENCODINGS: Final = ("UTF8", "SQL_ASCII")
"""Those that keep every character; SQL_ASCII takes what it is given."""
LIMITS: Final = """
SELECT set_config(name, value, false)
FROM (
  VALUES ('statement_timeout', '30s'), ('lock_timeout', '10s'), ('idle_in_transaction_session_timeout', '60s')
) AS ours (name, value)
WHERE current_setting(name) = '0'
"""
"""For sessions in which the operator has set none."""
MIGRATION_LIMITS: Final = "SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '60s', false)"
"""A migration may take its time, but not make everybody queue behind a lock that it cannot get."""
_LINE: Final = "undercroft_session_line"
"""Where a session's record keeps its line, also while nothing goes over it."""
MIGRATION_LOCK: Final = 0x756E646572
"""The advisory lock of all who migrate this database: "under" in ASCII."""


class PostgresDatabase:
    """A database on a PostgreSQL server, shared with other processes and machines."""

    def __init__(self, url: URL, *, pool_size: int, pool_wait_s: float = POOL_WAIT_S) -> None:
        self._url = url
        self._options = {name: value for name, value in CONNECTION.items() if name not in url.query}
        self._engine = self._made_engine(
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_wait_s,
            pool_use_lifo=True,
            pool_recycle=1800,
        )
        try:
            # Nobody is spoken to yet, but an option that libpq does not know is the operator's mistake.
            make_conninfo("", **dict.fromkeys(url.query, "0"))
        except psycopg.ProgrammingError as error:
            raise ConfigurationError(f"DATABASE_URL cannot be used: {error}.") from error
        event.listen(self._engine, "connect", _settle)
        event.listen(self._engine, "checkout", doubt)
        event.listen(self._engine, "before_cursor_execute", _send_first)
        event.listen(self._engine, "rollback", _forget_names)
        self._snapshots = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._kept = KeptSessions(self._engine)
        self._threads = Threads(pool_size)

    @property
    def dialect(self) -> Literal["postgresql"]:
        return "postgresql"

    async def read(self, work: Work[T], /) -> T:
        return await self._threads.run(self.read_sync, work)

    async def write(self, work: Work[T], /) -> T:
        return await self._threads.run(self.write_sync, work)

    async def others_writes(self) -> None:
        """It has no such number."""

    def read_sync(self, work: Work[T], /) -> T:
        self._kept.make_room()
        with _explained(is_reading=True), self._snapshots.connect() as connection, connection.begin():
            return work(connection)

    def write_sync(self, work: Work[T], /) -> T:
        with _explained():
            connection = self._kept.take()
            try:
                result = _in_transaction(connection, work)
            except BaseException:
                try:
                    _take_back(connection)
                finally:
                    connection.close()
                raise
            self._kept.give_back(connection)
            return result

    async def state(self) -> SchemaState:
        return await self._threads.run(self.state_sync)

    def state_sync(self) -> SchemaState:
        try:
            return self.read_sync(migrate.read_state)
        except UndercroftError as error:
            return migrate.unreachable(error)

    def migrate(self, target: str = "head", /) -> tuple[str | None, str | None]:
        # A connection of its own: the lock belongs to the session and goes with it, however this ends.
        engine = self._made_engine(poolclass=NullPool)
        event.listen(engine, "connect", _check_server)
        with _explained(), engine.connect() as connection:
            connection.exec_driver_sql(MIGRATION_LIMITS)
            connection.execute(select(func.pg_advisory_lock(MIGRATION_LOCK)))
            connection.commit()
            return migrate.move(connection, target)

    def close(self) -> None:
        self._threads.close()
        self._kept.close()
        self._engine.dispose()

    def _made_engine(self, **pool: Any) -> Engine:
        return create_engine(
            self._url,
            connect_args=self._options,
            json_serializer=lambda value: msgspec.json.encode(value).decode(),
            json_deserializer=msgspec.json.decode,
            use_native_hstore=False,  # looking for it costs each new engine a round trip, and no table of ours has one
            **pool,
        )


def _in_transaction(connection: Connection, work: Work[T]) -> T:
    session = connection.info  # also when the session is lost, and the connection has none
    line = session.get(_LINE)
    if line is not None:
        session[LINE] = line
    try:
        result = work(connection)
        if line is not None:
            with explained(connection, "COMMIT"):
                line.commit()
    finally:
        if line is not None:
            line.renew()
            session.pop(LINE, None)
    if connection.in_transaction():  # SQLAlchemy's, which it believes in as soon as it executes something
        connection.commit()
    return result


def _take_back(connection: Connection) -> None:
    """What a work that failed has done."""
    if connection.in_transaction():
        connection.rollback()
    elif not connection.invalidated:
        # The pool rolls back what a line began, and SQLAlchemy tells nobody of that.
        _forget_names(connection)
        if (driver := connection.connection.driver_connection) is not None and driver.closed:
            connection.invalidate()


def check_version(number: int) -> None:
    """`number` as the server tells it: 150004 is 15.4. Raises ConfigurationError for one that is too old."""
    if number // 10_000 < OLDEST:
        raise ConfigurationError(
            f"The server is PostgreSQL {number // 10_000}.{number % 10_000}; undercroft needs {OLDEST} or newer."
        )


def check_encoding(name: str) -> None:
    """Raises ConfigurationError for a database that cannot hold every character."""
    if name not in ENCODINGS:
        raise ConfigurationError(
            f"The database stores text as {name}, which cannot hold every character; make one with ENCODING 'UTF8'."
        )


def explain(error: SQLAlchemyError, *, is_reading: bool = False) -> UndercroftError | None:
    """What an error of PostgreSQL's means to whoever runs undercroft; None when the statement is at fault."""
    if isinstance(error, NoConnection):
        return busy()
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    if state == "25006" and not is_reading:
        return _unavailable("The database takes no writes now: the server is a standby, or set to read only.")
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    match state:
        case "57014":
            return _unavailable("The database took too long.", code="database_timeout")
        case "40001" | "40P01" | "55P03":
            return _unavailable("Another transaction was in the way.", code="database_busy")
        case "53100":
            return _unavailable("The disk of the database server is full.", code="disk_full", retry_after_s=10)
        case "53300":
            return _unavailable("The database server takes no further connections.")
        case str() if state.startswith("54"):  # a value too large for an index or a row: no retry will shrink it
            return None
    return _unavailable("The database cannot be reached.")


def _unavailable(message: str, *, code: str = "database_unavailable", retry_after_s: float = 1) -> Unavailable:
    return Unavailable(message, code=code, retry_after_s=retry_after_s)


@contextmanager
def _explained(*, is_reading: bool = False) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        explained = explain(error, is_reading=is_reading)
        if explained is None:
            raise
        raise explained from error


def _check_server(session: psycopg.Connection[Any], _record: object) -> None:
    try:
        check_version(session.info.server_version)
        check_encoding(session.info.parameter_status("server_encoding") or "unknown")
    except ConfigurationError:
        session.close()  # the pool forgets what an event refuses, without closing it
        raise


def _settle(session: psycopg.Connection[Any], record: ConnectionPoolEntry) -> None:
    """Sets the limits in one round trip; not as start-up options, which a pooler in between refuses."""
    _check_server(session, record)
    session.execute(LIMITS)
    session.commit()
    if psycopg.Pipeline.is_supported():
        record.info[_LINE] = Line(session)


def _send_first(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
    """Statements that go through SQLAlchemy come behind those of the same transaction that wait."""
    if (line := connection.info.get(LINE)) is not None:
        with explained(connection, "what was put off"):
            line.flush()
    if statement.lstrip()[:5].upper() in ("DROP ", "ALTER"):
        _forget_names(connection)


def _forget_names(connection: Connection) -> None:
    """Behind a rollback, and where a table goes, psycopg has the server forget all prepared statements, not only its
    own."""
    if not connection.invalidated and (line := connection.info.get(_LINE)) is not None:
        line.forget_names()
