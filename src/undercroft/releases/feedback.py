"""What people, or checks, say of answers, in the database."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, and_, func, or_, select

from undercroft.releases.types import ONLINE
from undercroft.responses.repository import conversation
from undercroft.responses.types import Kept
from undercroft.storage.schema import calls, chat_completions, feedback, responses
from undercroft.wire.openai.chat import stored
from undercroft.wire.openai.responses import output_of, spoken


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
    """Feedback with the conversation that it is about, where that was stored."""

    feedback: Feedback
    model: str
    turns: list[tuple[str, str]]
    """Role and text of each; empty where there was more than texts, or where not all of it is stored."""
    said: str
    """The answer's text."""


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


def call_of(connection: Connection, *, response: str, organisation: str, now_us: int) -> str:
    """The call that a stored answer came of, by the id that its caller knows; empty where none is stored."""
    for table in (chat_completions, responses):
        own = and_(table.c.organisation == organisation, table.c.id == response, table.c.expires_us > now_us)
        if found := connection.execute(select(table.c.call).where(own)).scalar_one_or_none():
            return str(found)
    return ""


def remembered(
    connection: Connection,
    *,
    organisation: str,
    now_us: int,
    since_us: int = 0,
    below: float | None = None,
    limit: int = 1000,
) -> list[Remembered]:
    """Feedback on answers that were stored (`store: true`), chat completions and responses, the oldest first; `below`
    leaves out what scored as much or more."""
    own = and_(feedback.c.organisation == organisation, feedback.c.created_us >= since_us)
    if below is not None:
        own = and_(own, feedback.c.score < below)
    first = (feedback.c.created_us, feedback.c.id)

    def of(table: Table, *columns: Any) -> Sequence[Any]:
        is_of_it = or_(table.c.call == feedback.c.call, table.c.id == feedback.c.response)
        living = and_(table.c.organisation == organisation, table.c.expires_us > now_us)
        found = select(feedback, *columns).join_from(feedback, table, and_(is_of_it, living))
        return connection.execute(found.where(own).order_by(*first).limit(limit)).all()

    kept = chat_completions.c
    found = [
        Remembered(
            feedback=_feedback(row),
            model=row.model,
            turns=stored.spoken(row.messages.encode()),
            said=stored.said(row.answer.encode()),
        )
        for row in of(chat_completions, kept.model, kept.messages, kept.answer)
    ]
    for row in of(responses, responses.c.id.label("answered")):
        turns = conversation(connection, organisation=organisation, id=row.answered, now_us=now_us)
        found.append(_answered(_feedback(row), turns))
    return sorted(found, key=lambda each: (each.feedback.created_us, each.feedback.id))[:limit]


def _answered(given: Feedback, turns: Sequence[Kept]) -> Remembered:
    """`turns`: the response and what it continues, oldest first."""
    last = turns[-1]
    items = [item for kept in turns[:-1] for item in (*_items.decode(kept.input), *output_of(kept.ended.body))]
    heard = spoken([*items, *_items.decode(last.input)]) if turns[0].previous is None else []
    instructions = _instructions.decode(last.ended.body).instructions
    if heard and isinstance(instructions, str):
        heard = [("system", instructions), *heard]
    answer = spoken(output_of(last.ended.body))
    return Remembered(feedback=given, model=last.ended.model, turns=heard, said=answer[-1][1] if answer else "")


class _Instructed(msgspec.Struct):
    """A response, as far as it says what it was told ahead of the conversation: a text, or a provider's own items."""

    instructions: Any = None


_items = msgspec.json.Decoder(list[dict[str, Any]])
_instructions = msgspec.json.Decoder(_Instructed)


def _feedback(row: Any) -> Feedback:
    return Feedback(**{name: row._mapping[name] for name in Feedback.__struct_fields__})
