"""Events are written in the transaction that makes them true, so that neither is there without the other."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection
from sqlalchemy import Sequence as Numbers

from undercroft.clock import Clock
from undercroft.events.types import Event, Fact
from undercroft.ids import Ids
from undercroft.storage.plain import execute
from undercroft.storage.schema import events

NUMBERS: Final = Numbers("events_numbers")
"""PostgreSQL's. SQLite has one writer at a time, which can look at the last number."""


class Outbox:
    """Writes events down; the dispatcher (`dispatch.py`) brings them to whoever wants them, after the commit."""

    def __init__(self, clock: Clock, *, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._ids = Ids(clock, entropy=entropy)
        self._lock = threading.Lock()  # works run in the database's threads, and Ids are for one
        self.appended: Callable[[], None] = lambda: None
        """Called, in any thread, when there will soon be something to bring."""

    def append(self, connection: Connection, *facts: Fact) -> list[Event]:
        """Writes `facts` in the caller's transaction.

        Events of one subject keep the order in which they were committed if the caller holds the subject's row by
        then: update it first, then append.
        """
        with self._lock:
            told = [_event(fact, id=self._ids.new("evt_"), at_us=self._clock.now_us()) for fact in facts]
        write(connection, told)
        self.appended()
        return told


def write(connection: Connection, told: Sequence[Event]) -> None:
    """Stores events in their order."""
    rows = [_row(event) for event in told]
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(events.insert().values(number=NUMBERS.next_value()), rows)
        return
    for row in rows:
        execute(connection, _NEXT, row)


_NEXT: Final = """
INSERT INTO events (organisation, id, type, subject, data, at_us, spread, number)
VALUES (:organisation, :id, :type, :subject, :data, :at_us, :spread,
  (SELECT COALESCE(MAX(number), 0) + 1 FROM events))"""
"""Round SQLAlchemy: one is written with every job that is handed in, and with every one that ends."""


def _event(fact: Fact, *, id: str, at_us: int) -> Event:
    return Event(
        id=id, type=fact.type, organisation=fact.organisation, subject=fact.data.id, at_us=at_us, data=fact.data
    )


def _row(event: Event) -> dict[str, Any]:
    return {
        "organisation": event.organisation,
        "id": event.id,
        "type": event.type,
        "subject": event.subject,
        "data": msgspec.json.encode(event.data).decode(),
        "at_us": event.at_us,
        "spread": False,
    }
