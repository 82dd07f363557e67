"""A transaction on PostgreSQL in as few round trips as it has answers to wait for.

psycopg sends BEGIN, every statement and COMMIT one by one, and each costs two processes a wake-up: for a statement that
finds its rows by their key, more than the statement. Its own pipelines do without, at the price of more bookkeeping
than is saved. Here libpq is told directly, and only what the statements of `storage/plain.py` need: text goes in, and
rows come back.
"""

import re
import select
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, Final

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

_NAME: Final = re.compile(r"%\((\w+)\)s")
_INT8: Final = 20
_FAILED: Final = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE)
_BEGIN: Final = b"BEGIN"
_COMMIT: Final = b"COMMIT"

Parameters = Mapping[str, Any] | Sequence[Any]


class Line:
    """To one session, for as long as it lives. Every error is psycopg's, as from its own statements."""

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self._session = session
        self._transformer = Transformer(session)
        self._known: dict[bytes, bytes] = {}
        """The names under which the server keeps statements of ours."""
        self._numbers = count(1)
        self._later: list[_Bound] = []
        self._is_over = False

    def execute(self, statement: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        """The rows of a statement; what waits goes along."""
        self.later(statement, parameters)
        return self._send()

    def later(self, statement: str, parameters: Parameters) -> None:
        """A statement whose rows nobody wants. It waits for the next one, or for COMMIT, which then raise its error."""
        assert not self._is_over, "this transaction was committed"
        self._later.append(_bound(statement, parameters))

    def conclude(self, statement: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        """The rows of the last one: when this returns, the transaction is committed."""
        self.later(statement, parameters)
        rows = self._send(_COMMIT)
        self._is_over = True
        return rows

    def flush(self) -> None:
        """Sends what waits."""
        if self._later:
            self._send()

    def commit(self) -> None:
        """Ends the transaction, if one was begun."""
        if self._later or self._session.pgconn.transaction_status != TransactionStatus.IDLE:
            self._send(_COMMIT)

    def renew(self) -> None:
        """The transaction is over, one way or the other: what still waits is not sent."""
        self._later.clear()
        self._is_over = False

    def forget_names(self) -> None:
        """The server has."""
        self._known.clear()

    def _send(self, ending: bytes | None = None) -> list[tuple[Any, ...]]:
        statements, self._later = self._later, []
        begins = self._session.pgconn.transaction_status == TransactionStatus.IDLE
        rows, error = self._exchange(statements, ending)
        if begins and isinstance(error, psycopg.errors.InvalidSqlStatementName):
            # Somebody let the server forget all names, as psycopg does behind a DROP. Nothing was done yet: once more.
            self.forget_names()
            self._session.rollback()
            rows, error = self._exchange(statements, ending)
        if error is not None:
            raise error
        return rows

    def _exchange(self, statements: "Sequence[_Bound]", ending: bytes | None) -> "_Answers":
        session = self._session.pgconn
        try:
            session.enter_pipeline_mode()
            said = self._say(statements, ending)
            session.pipeline_sync()
            answers = self._answers(said)
            session.exit_pipeline_mode()
        except BaseException:
            self._session.close()  # nobody knows what else the server has to say
            raise
        return answers

    def _say(self, statements: "Sequence[_Bound]", ending: bytes | None) -> list[tuple[bytes, bytes]]:
        """What each answer will be to: a statement, or making it known under a name, or neither."""
        session = self._session.pgconn
        said: list[tuple[bytes, bytes]] = []
        if session.transaction_status == TransactionStatus.IDLE:
            session.send_query_params(_BEGIN, None)
            said.append(_NOTHING)
        for text, values, types in statements:
            name = self._known.get(text)
            if name is None:
                name = b"undercroft_%d" % next(self._numbers)
                session.send_prepare(name, text, types)
                said.append((text, name))
            session.send_query_prepared(name, values)
            said.append((text, b""))
        if ending is not None:
            session.send_query_params(ending, None)
            said.append(_NOTHING)
        return said

    def _answers(self, said: Sequence[tuple[bytes, bytes]]) -> "_Answers":
        rows: list[tuple[Any, ...]] = []
        error: psycopg.Error | None = None
        self._wait_until_sent()
        for text, name in said:
            while (answer := self._next()) is not None:
                if answer.status == ExecStatus.TUPLES_OK:
                    self._transformer.set_pgresult(answer)
                    rows = self._transformer.load_rows(0, answer.ntuples, tuple)
                elif answer.status == ExecStatus.COMMAND_OK and name:
                    self._known[text] = name
                elif answer.status == ExecStatus.COMMAND_OK and text:
                    rows = []
                elif answer.status in _FAILED and error is None:
                    error = psycopg.errors.error_from_result(answer, encoding=self._session.info.encoding)
        ended = self._next()
        if ended is None or ended.status != ExecStatus.PIPELINE_SYNC:
            raise error or psycopg.OperationalError("The server's answers are out of step.")
        return rows, error

    def _next(self) -> PGresult | None:
        """None behind the last answer to a statement."""
        session = self._session.pgconn
        while session.is_busy():
            self._wait(select.POLLIN)
            session.consume_input()
        return session.get_result()

    def _wait_until_sent(self) -> None:
        session = self._session.pgconn
        while session.flush():  # a server whose answers nobody reads may read no further itself
            self._wait(select.POLLIN | select.POLLOUT)
            session.consume_input()

    def _wait(self, events: int) -> None:
        readiness = select.poll()
        readiness.register(self._session.pgconn.socket, events)
        readiness.poll()


_Bound = tuple[bytes, list[bytes | None], list[int]]
"""A statement with numbered parameters, their values as text, and the types of those that are numbers."""
_Answers = tuple[list[tuple[Any, ...]], psycopg.Error | None]
"""The rows of the last statement, and the first error."""
_NOTHING: Final = (b"", b"")


def _bound(statement: str, parameters: Parameters) -> _Bound:
    text, names = _numbered(statement)
    assert isinstance(parameters, Mapping) or not names, "PostgreSQL's parameters have names"
    values = [parameters[name] for name in names]  # type: ignore[call-overload]  # as was just looked
    types = [_INT8 if type(value) is int else 0 for value in values]
    return text, [None if value is None else str(value).encode() for value in values], types


@lru_cache(maxsize=256)
def _numbered(statement: str) -> tuple[bytes, tuple[str, ...]]:
    names = tuple(dict.fromkeys(_NAME.findall(statement)))
    places = {name: f"${place}" for place, name in enumerate(names, start=1)}
    return _NAME.sub(lambda found: places[found[1]], statement).encode(), names
