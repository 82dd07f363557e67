"""What people, or checks, say of answers, in the database."""

from typing import Any

import msgspec
from sqlalchemy import Connection, and_, func, or_, select

from undercroft.releases.types import ONLINE
from undercroft.storage.schema import calls, chat_completions, feedback


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """Of one answer. `call` is the ledger's id of the call behind it."""

    organisation: str
    id: str
    response: str
    call: str
    key: str = ""
    source: str = "user"
    score: float | None = None
    label: str = ""
    comment: str = ""
    created_us: int = 0


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """Feedback with the conversation that it is about, where that was stored. Texts are JSON as it travelled."""

    feedback: Feedback
    model: str
    messages: str
    answer: str


def add(connection: Connection, given: Feedback) -> None:
    """Several may be given on one answer."""
    connection.execute(feedback.insert().values(**msgspec.structs.asdict(given)))


def spent_online(connection: Connection, *, since_us: int) -> int:
    """Nano-dollars that online evaluation has cost since then, in every organisation and process."""
    own = and_(calls.c.endpoint == ONLINE, calls.c.started_us >= since_us)
    return int(connection.execute(select(func.coalesce(func.sum(calls.c.cost_nano), 0)).where(own)).scalar_one())


def listed(connection: Connection, *, organisation: str, source: str | None = None, limit: int = 100) -> list[Feedback]:
    """The latest first."""
    own = feedback.c.organisation == organisation
    if source is not None:
        own = and_(own, feedback.c.source == source)
    newest = (feedback.c.created_us.desc(), feedback.c.id.desc())
    rows = connection.execute(select(feedback).where(own).order_by(*newest).limit(limit))
    return [_feedback(row) for row in rows]


def remembered(
    connection: Connection, *, organisation: str, since_us: int = 0, below: float | None = None, limit: int = 1000
) -> list[Remembered]:
    """Feedback on chat completions that were stored (`store: true`), the oldest first; `below` leaves out what scored
    as much or more."""
    own = and_(
        feedback.c.organisation == organisation,
        feedback.c.created_us >= since_us,
        chat_completions.c.organisation == organisation,
    )
    if below is not None:
        own = and_(own, feedback.c.score < below)
    stored = (chat_completions.c.model, chat_completions.c.messages, chat_completions.c.answer)
    is_of_it = or_(chat_completions.c.call == feedback.c.call, chat_completions.c.id == feedback.c.response)
    rows = connection.execute(
        select(feedback, *stored)
        .join_from(feedback, chat_completions, is_of_it)
        .where(own)
        .order_by(feedback.c.created_us, feedback.c.id)
        .limit(limit)
    )
    return [
        Remembered(feedback=_feedback(row), model=row.model, messages=row.messages, answer=row.answer) for row in rows
    ]


def _feedback(row: Any) -> Feedback:
    return Feedback(**{name: row._mapping[name] for name in Feedback.__struct_fields__})
