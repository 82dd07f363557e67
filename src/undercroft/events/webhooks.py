"""Webhooks in the database. Functions that take a connection are works for `Database.read` or `write`."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, select, update

from undercroft.egress.guard import parse_url
from undercroft.errors import AddressRefused
from undercroft.storage.schema import event_deliveries, webhooks

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
SINK: Final = "webhook:"
ADDRESS: Final = "address:"
"""Begins the sinks of events that say themselves where they are to be posted: one for each origin."""
DISABLED: Final = "the webhook was disabled"
MOST: Final = 100
"""Webhooks of one organisation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that is told of events."""

    id: str
    organisation: str
    url: str
    """Empty: each event says where it is to be posted."""
    types: tuple[str, ...]
    """Patterns: `job.succeeded`, `job.*`, `*`."""
    description: str = ""
    secret: str
    """Encrypted."""
    enabled: bool = True
    reason: str = ""
    """Why it is not enabled."""
    failing_us: int = 0
    """Since when every attempt has failed; 0: the last one went well."""
    created_us: int

    @property
    def sink(self) -> str:
        return SINK + self.id


def make_secret(entropy: Callable[[int], bytes]) -> str:
    """A fresh signing secret, in the form of the Standard Webhooks specification."""
    return PREFIX + base64.b64encode(entropy(SECRET_BYTES)).decode()


def address_sink(url: str) -> str:
    """The sink of an event that is posted to `url`."""
    try:
        origin, _ = parse_url(url)
    except AddressRefused:  # the attempt will say what is wrong with it
        return ADDRESS
    return f"{ADDRESS}{origin}"


def add(connection: Connection, webhook: Webhook) -> bool:
    """False when the organisation has as many as it may have."""
    count = len(listed(connection, organisation=webhook.organisation))
    if count >= MOST:
        return False
    connection.execute(webhooks.insert().values(**_row(webhook)))
    return True


def find(connection: Connection, *, organisation: str, id: str) -> Webhook | None:
    """None for one that is not there, or is another organisation's."""
    row = connection.execute(select(webhooks).where(_is(organisation, id))).one_or_none()
    return None if row is None else _webhook(row)


def listed(connection: Connection, *, organisation: str) -> list[Webhook]:
    """Those of an organisation, oldest first."""
    mine = select(webhooks).where(webhooks.c.organisation == organisation)
    return [_webhook(row) for row in connection.execute(mine.order_by(webhooks.c.created_us, webhooks.c.id))]


def enabled(connection: Connection) -> list[Webhook]:
    """Those that are to be told, of all organisations."""
    return [_webhook(row) for row in connection.execute(select(webhooks).where(webhooks.c.enabled))]


def are_any(connection: Connection) -> bool:
    """Whether some organisation has one that is to be told."""
    return bool(connection.execute(select(exists().where(webhooks.c.enabled))).scalar_one())


def change(
    connection: Connection,
    *,
    organisation: str,
    id: str,
    url: str | None = None,
    types: Sequence[str] | None = None,
    description: str | None = None,
    is_enabled: bool | None = None,
) -> Webhook | None:
    """Changes what is given; None when there is no such webhook. Enabling forgets how it failed."""
    found = find(connection, organisation=organisation, id=id)
    if found is None:
        return None
    wanted = replace(
        found,
        url=found.url if url is None else url,
        types=found.types if types is None else tuple(types),
        description=found.description if description is None else description,
    )
    if is_enabled is not None and is_enabled != found.enabled:
        reason = "" if is_enabled else "switched off"
        wanted = replace(wanted, enabled=is_enabled, reason=reason, failing_us=0)
    connection.execute(update(webhooks).where(_is(organisation, id)).values(**_row(wanted)))
    if not wanted.enabled:
        drop_pending(connection, wanted)
    return wanted


def note_attempt(connection: Connection, webhook: Webhook, *, ok: bool, now_us: int) -> int:
    """Takes down how an attempt went; since when all have failed, 0 for not at all."""
    failing_us = 0 if ok else (webhook.failing_us or now_us)
    if failing_us != webhook.failing_us:
        connection.execute(update(webhooks).where(_is(webhook.organisation, webhook.id)).values(failing_us=failing_us))
    return failing_us


def disable(connection: Connection, webhook: Webhook, *, reason: str) -> None:
    """Tells it nothing any more; what it has missed can be replayed once it is enabled again."""
    off = update(webhooks).where(_is(webhook.organisation, webhook.id)).values(enabled=False, reason=reason)
    connection.execute(off)
    drop_pending(connection, webhook)


def drop_pending(connection: Connection, webhook: Webhook) -> None:
    """Gives up what it was still to be told."""
    pending = and_(_of(webhook.organisation, webhook.sink), event_deliveries.c.state == "pending")
    connection.execute(update(event_deliveries).where(pending).values(state="failed", error=DISABLED))


def remove(connection: Connection, *, organisation: str, id: str) -> bool:
    """With its deliveries. False when there was none."""
    connection.execute(delete(event_deliveries).where(_of(organisation, SINK + id)))
    return connection.execute(delete(webhooks).where(_is(organisation, id))).rowcount > 0


def _is(organisation: str, id: str) -> ColumnElement[bool]:
    return and_(webhooks.c.organisation == organisation, webhooks.c.id == id)


def _of(organisation: str, sink: str) -> ColumnElement[bool]:
    return and_(event_deliveries.c.organisation == organisation, event_deliveries.c.sink == sink)


def _row(webhook: Webhook) -> dict[str, Any]:
    return {
        "organisation": webhook.organisation,
        "id": webhook.id,
        "url": webhook.url,
        "types": list(webhook.types),
        "description": webhook.description,
        "secret": webhook.secret,
        "enabled": webhook.enabled,
        "reason": webhook.reason,
        "failing_us": webhook.failing_us,
        "created_us": webhook.created_us,
    }


def _webhook(row: Any) -> Webhook:
    return Webhook(
        organisation=row.organisation,
        id=row.id,
        url=row.url,
        types=tuple(row.types),
        description=row.description,
        secret=row.secret,
        enabled=row.enabled,
        reason=row.reason,
        failing_us=row.failing_us,
        created_us=row.created_us,
    )
