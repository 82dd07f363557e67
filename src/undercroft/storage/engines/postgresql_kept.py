"""Sessions that stay out of the pool from one write to the next.

Taking a session from SQLAlchemy's pool, beginning, committing and giving it back costs as much as a statement, twice
for a job alone. What is kept here counts as taken, so some of the pool is always left in it.
"""

import select as readiness
from collections import deque
from time import monotonic
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, QueuePool
from sqlalchemy.exc import InvalidatePoolError

KEPT_S: Final = 60.0
"""How long one is kept: the pool renews those that are old."""


class KeptSessions:
    """Those of one engine. Used by any thread."""

    def __init__(self, engine: Engine, *, kept_s: float = KEPT_S) -> None:
        assert isinstance(engine.pool, QueuePool)
        self._engine = engine
        self._kept_s = kept_s
        self._pool = engine.pool
        self._idle: deque[tuple[Connection, float]] = deque()

    def take(self) -> Connection:
        """One with no transaction under way; it is given back, or closed."""
        while self._idle:
            try:
                connection, kept_at = self._idle.pop()
            except IndexError:
                break
            if monotonic() - kept_at < self._kept_s and _is_heard(connection):
                return connection
            connection.close()
        return self._engine.connect()

    def give_back(self, connection: Connection) -> None:
        """Its transaction is over, and all was well."""
        if self._is_exhausted():
            connection.close()
        else:
            self._idle.append((connection, monotonic()))

    def make_room(self) -> None:
        """Somebody is about to ask the pool."""
        if self._is_exhausted():
            self.close()

    def close(self) -> None:
        """Leaves all of them to the pool."""
        while self._idle:
            try:
                connection, _ = self._idle.pop()
            except IndexError:
                return
            connection.close()

    def _is_exhausted(self) -> bool:
        return self._pool.checkedout() >= self._pool.size()


def _is_heard(connection: Connection) -> bool:
    session = connection.connection.driver_connection
    assert isinstance(session, psycopg.Connection)
    try:
        doubt(session)
    except InvalidatePoolError:
        connection.invalidate()
        return False
    return True


def doubt(session: psycopg.Connection[Any], *_: object) -> None:
    """So that a server that restarted costs nobody an error, and asking costs nobody a round trip: whoever hangs up
    leaves something to read. Only then the server is asked whether it still hears us."""
    has_news = readiness.poll()
    try:
        has_news.register(session.fileno(), readiness.POLLIN)
        if has_news.poll(0):
            session.execute("SELECT 1")
            session.rollback()
    except psycopg.Error as error:
        raise InvalidatePoolError from error
