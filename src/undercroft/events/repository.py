"""Events and their deliveries in the database. Every function is a work for `Database.read` or `write`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Row, and_, delete, exists, select, text, tuple_, update

from undercroft.events.types import Event, decode_data
from undercroft.storage.duties import database_now
from undercroft.storage.schema import event_deliveries, event_marks, events, insert

SPREAD_AT_ONCE: Final = 200
SWEPT: Final = 500
"""Events that one sweep deletes, so that it holds nobody up for long."""
_UNSPREAD: Final = text("NOT spread")
"""In the words of the index: where SQLAlchemy writes `spread = 0`, SQLite reads the whole table."""


class Place(NamedTuple):
    """Somebody who is told, of one organisation's events."""

    organisation: str
    sink: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that is to be told to somebody."""

    event: Event
    place: Place
    attempts: int
    """That have failed so far."""


DeliveryState = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """How far an event has come on its way to somebody."""

    event: str
    type: str
    subject: str
    state: DeliveryState
    attempts: int
    due_us: int
    ended_us: int
    status: int
    error: str


def moment(connection: Connection, now_us: int) -> int:
    """What time it is for everybody who uses this database."""
    return int(connection.execute(select(database_now(connection, now_us))).scalar_one())


def has_work(connection: Connection, *, now_us: int) -> bool:
    """Whether somebody is to be told something now."""
    if connection.execute(select(exists().select_from(events).where(_UNSPREAD))).scalar_one():
        return True
    mine = event_deliveries.alias("mine")
    return bool(connection.execute(select(exists().where(_turn(connection, mine, now_us=now_us)))).scalar_one())


def are_pending(connection: Connection) -> bool:
    """Whether somebody is to be told something, sooner or later."""
    pending = select(event_deliveries.c.number).where(event_deliveries.c.state == "pending").limit(1)
    return connection.execute(pending).first() is not None


def spread(connection: Connection, sinks_of: Callable[[Event], Iterable[str]], *, now_us: int) -> int:
    """Makes a delivery of each new event for each sink that wants it; how many events there were."""
    fresh = select(events).where(_UNSPREAD).order_by(events.c.number).limit(SPREAD_AT_ONCE)
    rows = connection.execute(fresh).all()
    if not rows:
        return 0
    due_us = moment(connection, now_us)
    wanted = [_delivery_row(row, sink, due_us) for row in rows for sink in sinks_of(_event(row))]
    if wanted:
        connection.execute(insert(connection, event_deliveries).on_conflict_do_nothing(), wanted)
    connection.execute(update(events).where(events.c.number.in_([row.number for row in rows])).values(spread=True))
    return len(rows)


def places_due(connection: Connection, *, now_us: int) -> list[Place]:
    """Everybody for whom something is due."""
    mine = event_deliveries.alias("mine")
    due = _turn(connection, mine, now_us=now_us)
    rows = connection.execute(select(mine.c.organisation, mine.c.sink).where(due).distinct())
    return [Place(row.organisation, row.sink) for row in rows]


def turns(connection: Connection, place: Place, *, limit: int, now_us: int) -> list[Delivery]:
    """What is due for `place`, oldest first, of each subject only the first that is pending."""
    mine = event_deliveries.alias("mine")
    of_place = and_(mine.c.organisation == place.organisation, mine.c.sink == place.sink)
    return _deliveries(connection, mine, and_(of_place, _turn(connection, mine, now_us=now_us)), limit)


def batch(connection: Connection, place: Place, *, limit: int, now_us: int) -> list[Delivery]:
    """The oldest that are pending for `place`, in their order; none while the first of them is not due."""
    mine = event_deliveries.alias("mine")
    pending = and_(mine.c.organisation == place.organisation, mine.c.sink == place.sink, mine.c.state == "pending")
    first = select(mine.c.due_us).where(pending).order_by(mine.c.number).limit(1)
    due_us = connection.execute(first).scalar_one_or_none()
    if due_us is None or due_us > moment(connection, now_us):
        return []
    return _deliveries(connection, mine, pending, limit)


def _turn(connection: Connection, mine: FromClause, *, now_us: int) -> ColumnElement[bool]:
    """Whether a delivery is due, and no earlier one of its subject is pending."""
    earlier = event_deliveries.alias("earlier")
    waits = exists().where(
        earlier.c.organisation == mine.c.organisation,
        earlier.c.sink == mine.c.sink,
        earlier.c.subject == mine.c.subject,
        earlier.c.number < mine.c.number,
        earlier.c.state == "pending",
    )
    return and_(mine.c.state == "pending", mine.c.due_us <= database_now(connection, now_us), ~waits)


def _deliveries(connection: Connection, mine: FromClause, wanted: ColumnElement[bool], limit: int) -> list[Delivery]:
    with_event = mine.join(events, and_(events.c.organisation == mine.c.organisation, events.c.id == mine.c.event))
    found = select(events, mine.c.sink, mine.c.attempts).select_from(with_event).where(wanted)
    rows = connection.execute(found.order_by(mine.c.number).limit(limit)).all()
    return [Delivery(_event(row), Place(row.organisation, row.sink), row.attempts) for row in rows]


def end(
    connection: Connection,
    told: Sequence[Delivery],
    *,
    state: str,
    now_us: int,
    delay_us: int = 0,
    status: int = 0,
    error: str = "",
) -> None:
    """Takes down an attempt of one sink: `delivered`, `failed` for good, or `pending` again after `delay_us`.

    What was ended meanwhile (its webhook is gone or disabled) stays as it is.
    """
    now = database_now(connection, now_us)
    values: dict[str, Any] = {
        "state": state,
        "attempts": event_deliveries.c.attempts + 1,
        "status": status,
        "error": error,
        "due_us": now + delay_us,
        "ended_us": now if state != "pending" else 0,
    }
    of_them = event_deliveries.c.event.in_([each.event.id for each in told])
    where = and_(_is(told[0].place), of_them, event_deliveries.c.state == "pending")
    connection.execute(update(event_deliveries).where(where).values(**values))


def put_off(connection: Connection, place: Place, *, delay_us: int, now_us: int) -> None:
    """Nobody of that name is there to be told, but may be again."""
    pending = and_(_is(place), event_deliveries.c.state == "pending")
    later = update(event_deliveries).where(pending).values(due_us=database_now(connection, now_us) + delay_us)
    connection.execute(later)


def give_up(connection: Connection, place: Place, *, error: str) -> None:
    """Nobody is there to be told."""
    pending = and_(_is(place), event_deliveries.c.state == "pending")
    connection.execute(update(event_deliveries).where(pending).values(state="failed", error=error))


def replay(
    connection: Connection,
    place: Place,
    *,
    wants: Callable[[str], bool],
    since_us: int,
    after: int,
    is_everything: bool,
    now_us: int,
) -> tuple[int, int | None]:
    """Has the events since then told again that failed, or were never to be told; with `is_everything` those too that
    went well. How many of some hundred events that come after number `after`, and the last number; None at the end."""
    later = and_(
        events.c.organisation == place.organisation,
        events.c.at_us >= since_us,
        events.c.number > after,
        events.c.spread,
    )
    rows = connection.execute(select(events).where(later).order_by(events.c.number).limit(SPREAD_AT_ONCE)).all()
    if not rows:
        return 0, None
    due_us = moment(connection, now_us)
    wanted = [_delivery_row(row, place.sink, due_us) for row in rows if wants(row.type)]
    done = ("failed", "delivered") if is_everything else ("failed",)
    count = 0
    for values in wanted:
        fresh = insert(connection, event_deliveries).values(**values)
        again = {name: values[name] for name in ("state", "attempts", "due_us", "ended_us", "status", "error")}
        taken = connection.execute(
            fresh.on_conflict_do_update(
                index_elements=["organisation", "event", "sink"],
                set_=again,
                where=event_deliveries.c.state.in_(done),
            ),
            execution_options={"preserve_rowcount": True},
        )
        count += taken.rowcount
    return count, rows[-1].number


def history(connection: Connection, place: Place, *, limit: int) -> list[DeliveryView]:
    """The latest deliveries to `place`, newest first."""
    with_event = event_deliveries.join(
        events, and_(events.c.organisation == event_deliveries.c.organisation, events.c.id == event_deliveries.c.event)
    )
    found = select(event_deliveries, events.c.type).select_from(with_event).where(_is(place))
    return _views(connection.execute(found.order_by(event_deliveries.c.number.desc()).limit(limit)).all())


def addressed(connection: Connection, *, organisation: str, subject: str, prefix: str) -> list[DeliveryView]:
    """How the events of `subject` have fared that were posted where their maker asked for it, newest first: those of
    sinks whose names begin with `prefix`."""
    of_subject = and_(events.c.organisation == organisation, events.c.subject == subject, events.c.address.is_not(None))
    with_delivery = events.join(
        event_deliveries,
        and_(event_deliveries.c.organisation == events.c.organisation, event_deliveries.c.event == events.c.id),
    )
    found = select(event_deliveries, events.c.type).select_from(with_delivery)
    mine = found.where(of_subject, event_deliveries.c.sink.startswith(prefix, autoescape=True))
    return _views(connection.execute(mine.order_by(event_deliveries.c.number.desc())).all())


def _views(rows: "Sequence[Row[Any]]") -> list[DeliveryView]:
    return [
        DeliveryView(
            event=row.event,
            type=row.type,
            subject=row.subject,
            state=row.state,
            attempts=row.attempts,
            due_us=row.due_us,
            ended_us=row.ended_us,
            status=row.status,
            error=row.error,
        )
        for row in rows
    ]


def forget(connection: Connection, *, before_us: int) -> int:
    """Deletes some of the events from before then with their deliveries; 0 when nothing was left to delete."""
    old = select(events.c.number).where(events.c.at_us < before_us).limit(SWEPT)
    found = events.c.number.in_(connection.execute(old).scalars().all())
    of_them = select(events.c.organisation, events.c.id).where(found)
    named = tuple_(event_deliveries.c.organisation, event_deliveries.c.event)
    connection.execute(delete(event_deliveries).where(named.in_(of_them)))
    return connection.execute(delete(events).where(found)).rowcount


def forget_marks(connection: Connection, *, before_us: int) -> None:
    """Deletes the marks of what may be told again."""
    connection.execute(delete(event_marks).where(event_marks.c.until_us < before_us))


def _is(place: Place) -> ColumnElement[bool]:
    return and_(event_deliveries.c.organisation == place.organisation, event_deliveries.c.sink == place.sink)


def _delivery_row(event: "Row[Any]", sink: str, due_us: int) -> dict[str, Any]:
    return {
        "organisation": event.organisation,
        "event": event.id,
        "sink": sink,
        "number": event.number,
        "subject": event.subject,
        "state": "pending",
        "attempts": 0,
        "due_us": due_us,
        "ended_us": 0,
        "status": 0,
        "error": "",
    }


def _event(row: "Row[Any]") -> Event:
    return Event(
        id=row.id,
        type=row.type,
        organisation=row.organisation,
        subject=row.subject,
        at_us=row.at_us,
        data=decode_data(row.type, row.data),
        address=row.address or "",
    )
