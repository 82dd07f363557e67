"""Chat completions whose callers asked for them to be kept (`store: true`), in the database."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, tuple_, update

from undercroft.storage.schema import chat_completions, insert

SWEPT: Final = 100
"""Expired completions that are deleted beside each new one: more than come, so that none are left behind."""


class KeptChat(msgspec.Struct, frozen=True, kw_only=True):
    """A completion as its caller saw it. `messages` (what was asked) and `answer` are JSON as it travelled."""

    id: str
    model: str
    metadata: dict[str, str]
    messages: bytes
    answer: bytes
    created_us: int
    expires_us: int
    call: str = ""
    """The ledger's id of the call that it came of."""


def keep(connection: Connection, kept: KeptChat, *, organisation: str, now_us: int) -> None:
    """Stores it. A provider that gives an id twice overwrites: the later answer is what its caller means."""
    row: dict[str, Any] = {
        "organisation": organisation,
        "id": kept.id,
        "model": kept.model,
        "metadata": kept.metadata,
        "messages": kept.messages.decode(),
        "answer": kept.answer.decode(),
        "created_us": kept.created_us,
        "expires_us": kept.expires_us,
        "call": kept.call or None,
    }
    changes = {name: value for name, value in row.items() if name not in ("organisation", "id")}
    fresh = insert(connection, chat_completions).values(**row)
    connection.execute(fresh.on_conflict_do_update(index_elements=["organisation", "id"], set_=changes))
    table = chat_completions.c
    expired = select(table.organisation, table.id).where(table.expires_us <= now_us).limit(SWEPT)
    connection.execute(delete(chat_completions).where(tuple_(table.organisation, table.id).in_(expired)))


def find(connection: Connection, id: str, *, organisation: str, now_us: int) -> KeptChat | None:
    """None for one that was not kept, has expired or is another organisation's."""
    row = connection.execute(select(chat_completions).where(_living(organisation, now_us, id))).one_or_none()
    return None if row is None else _kept(row)


def listed(
    connection: Connection,
    *,
    organisation: str,
    now_us: int,
    limit: int,
    order: Literal["asc", "desc"] = "asc",
    after: KeptChat | None = None,
    model: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> list[KeptChat]:
    """At most `limit`, by time, those past `after`; only of this model and with all of this metadata."""
    table = chat_completions.c
    wanted = _living(organisation, now_us)
    if after is not None:
        place, last = tuple_(table.created_us, table.id), tuple_(after.created_us, after.id)
        wanted = and_(wanted, place > last if order == "asc" else place < last)
    if model is not None:
        wanted = and_(wanted, table.model == model)
    for name, value in (metadata or {}).items():
        wanted = and_(wanted, _labelled(connection, name, value))
    by_time = [table.created_us.asc(), table.id.asc()] if order == "asc" else [table.created_us.desc(), table.id.desc()]
    rows = connection.execute(select(chat_completions).where(wanted).order_by(*by_time).limit(limit))
    return [_kept(row) for row in rows]


def relabel(connection: Connection, id: str, metadata: dict[str, str], *, organisation: str, now_us: int) -> bool:
    """Replaces its metadata; False when there is none of that id."""
    wanted = _living(organisation, now_us, id)
    return connection.execute(update(chat_completions).where(wanted).values(metadata=metadata)).rowcount > 0


def remove(connection: Connection, id: str, *, organisation: str, now_us: int) -> bool:
    """False when there was none of that id."""
    return connection.execute(delete(chat_completions).where(_living(organisation, now_us, id))).rowcount > 0


def _living(organisation: str, now_us: int, id: str | None = None) -> ColumnElement[bool]:
    table = chat_completions.c
    living = and_(table.organisation == organisation, table.expires_us > now_us)
    return living if id is None else and_(living, table.id == id)


def _labelled(connection: Connection, name: str, value: str) -> ColumnElement[bool]:
    """Whether the metadata says so: names are the caller's, so they travel as parameters and not in a JSON path."""
    if connection.dialect.name == "postgresql":
        return func.jsonb_extract_path_text(chat_completions.c.metadata, name) == value
    pairs = func.json_each(chat_completions.c.metadata).table_valued("key", "value")
    return select(pairs.c.key).where(pairs.c.key == name, pairs.c.value == value).exists()


def _kept(row: Any) -> KeptChat:
    return KeptChat(
        id=row.id,
        model=row.model,
        metadata=row.metadata,
        messages=row.messages.encode(),
        answer=row.answer.encode(),
        created_us=row.created_us,
        expires_us=row.expires_us,
        call=row.call or "",
    )
