"""Events are written in the transaction that makes them true, so that neither is there without the other."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from undercroft.clock import Clock
from undercroft.events.types import Event, Fact
from undercroft.ids import Ids
from undercroft.storage.bulk import insert_values
from undercroft.storage.plain import execute, execute_later
from undercroft.storage.schema import event_marks, insert


class Outbox:
    """Writes events down; the dispatcher (`dispatch.py`) brings them to whoever wants them, after the commit."""

    def __init__(
        self,
        clock: Clock,
        *,
        entropy: Callable[[int], bytes] = os.urandom,
        heard: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """`heard` says whether anybody but webhooks wants events of a type; who cannot know says yes."""
        self._clock = clock
        self._heard = heard
        self._ids = Ids(clock, entropy=entropy)
        self._lock = threading.Lock()  # works run in the database's threads, and Ids are for one
        self.appended: Callable[[], None] = lambda: None
        """Called, in any thread, when there will soon be something to bring."""
        self.has_webhooks = True
        """Whether there are any, as far as the dispatcher beside us knows."""

    def append(self, connection: Connection, *facts: Fact) -> list[Event]:
        """Writes `facts` in the caller's transaction.

        Events of one subject keep the order in which they were committed if the caller holds the subject's row by
        then: update it first, then append.
        """
        with self._lock:
            told = [_event(fact, id=self._ids.new("evt_"), at_us=self._clock.now_us()) for fact in facts]
        wanted = [bool(event.address) or self._heard(event.type) for event in told]
        _write(connection, told, wanted)
        if self.has_webhooks or any(wanted):
            self.appended()
        return told

    def append_once(self, connection: Connection, fact: Fact, *, mark: str, until_us: int) -> bool:
        """The same for what several processes notice: only the first to bring this `mark` tells of it, until then."""
        first = insert(connection, event_marks).values(organisation=fact.organisation, mark=mark, until_us=until_us)
        taken = connection.execute(first.on_conflict_do_nothing(), execution_options={"preserve_rowcount": True})
        if taken.rowcount != 1:
            return False
        self.append(connection, fact)
        return True


def _write(connection: Connection, told: Sequence[Event], wanted: Sequence[bool]) -> None:
    """Stores events in their order. Those that nobody wants, webhooks included, need not be spread (`dispatch.py`):
    most of what happens where nobody listens, and it would cost as much again as writing them."""
    if not told:
        return
    if connection.dialect.name == "sqlite":
        _write_to_file(connection, told, wanted)
        return
    rows = msgspec.json.encode([(*_row(event), is_wanted) for event, is_wanted in zip(told, wanted, strict=True)])
    execute_later(connection, _WRITE, {"rows": rows.decode()})


def _write_to_file(connection: Connection, told: Sequence[Event], wanted: Sequence[bool]) -> None:
    """SQLite has one writer at a time, which can look at the last number, and at who listens, before it writes."""
    listens: dict[str, bool] = {}
    last = 0
    for organisation in {event.organisation for event in told}:
        ((last, listens[organisation]),) = execute(connection, _LOOK, (organisation,))
    rows = [
        (*_row(event), not (is_wanted or listens[event.organisation]), last + place)
        for place, (event, is_wanted) in enumerate(zip(told, wanted, strict=True), start=1)
    ]
    insert_values(connection, "events", _NAMES, rows)


_NAMES: Final = ("organisation", "id", "type", "subject", "data", "at_us", "address", "spread", "number")
_LOOK: Final = """
SELECT (SELECT COALESCE(MAX(number), 0) FROM events),
  EXISTS (SELECT 1 FROM webhooks WHERE organisation = ? AND enabled)"""
_WRITE: Final = """
INSERT INTO events (organisation, id, type, subject, data, at_us, spread, address, number)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, CAST(value ->> 5 AS bigint),
  NOT (CAST(value ->> 7 AS boolean) OR EXISTS (
    SELECT 1 FROM webhooks WHERE organisation = value ->> 0 AND enabled)),
  value ->> 6, nextval('events_numbers')
FROM json_array_elements(CAST(%(rows)s AS json)) WITH ORDINALITY AS each (value, place) ORDER BY place"""
"""Round SQLAlchemy, and however many one statement: some are written with every turn of those who run jobs."""


def _event(fact: Fact, *, id: str, at_us: int) -> Event:
    return Event(
        id=id,
        type=fact.type,
        organisation=fact.organisation,
        subject=fact.data.id,
        at_us=at_us,
        data=fact.data,
        address=fact.address,
    )


def _row(event: Event) -> tuple[Any, ...]:
    data = msgspec.json.encode(event.data).decode()
    return event.organisation, event.id, event.type, event.subject, data, event.at_us, event.address or None
