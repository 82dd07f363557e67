"""What operators do, over the routes that callers use too, to what callers have handed in."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from undercroft.api.exchange import Exchange
from undercroft.assembly.access import AccessDesk

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from undercroft.access.actions import Action


def operated(
    access: AccessDesk, exchange: Exchange, action: "Action", subject: str
) -> "Callable[[Connection, object], None] | None":
    """Writes it into the audit log, in the transaction of the change. None for a caller without the permission
    `operate`: what callers do is in the ledger and in events."""
    caller = exchange.caller
    if "operate" not in caller.permissions:
        return None
    from undercroft.access.audit import Act, Origin

    origin = Origin(
        organisation=caller.who.organisation, actor=caller.actor, address=exchange.peer, request=exchange.id
    )
    return access.beside(Act(action=action, subject=subject), origin=origin)
