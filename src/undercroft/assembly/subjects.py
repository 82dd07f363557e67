"""Limits of an organisation, a team or a user: each change is one transaction, for the API and the command line."""

from collections.abc import Sequence
from typing import Final, Literal, get_args

from msgspec.structs import replace
from sqlalchemy import Connection

from undercroft.access.audit import Act
from undercroft.assembly.keys import LimitState, states_of
from undercroft.errors import NotFound
from undercroft.ledger.limit_repository import limits_of, set_limits
from undercroft.ledger.limits import Limit
from undercroft.record import Who
from undercroft.storage.counters import KEYS
from undercroft.storage.versions import bump

Group = Literal["organisation", "team", "user"]
GROUPS: Final[tuple[Group, ...]] = get_args(Group)


def show(connection: Connection, group: Group, subject: str, *, organisation: str, now_us: int) -> list[LimitState]:
    """What one of them may use, and has used. There need not be a call of it yet. Raises NotFound for another
    organisation than the caller's."""
    who = _who(group, subject, organisation=organisation)
    limits = limits_of(connection, organisation=organisation, scope=group, subject=subject)
    return states_of(connection, limits, who, now_us=now_us)


def change(
    connection: Connection, group: Group, subject: str, limits: Sequence[Limit], *, organisation: str, now_us: int
) -> list[LimitState]:
    """Replaces all limits of one of them; what has been used of them stays counted. Raises as `show`."""
    _who(group, subject, organisation=organisation)
    own = [replace(limit, organisation=organisation, scope=group, subject=subject) for limit in limits]
    set_limits(connection, own, organisation=organisation, scope=group, subject=subject, now_us=now_us)
    bump(connection, KEYS)
    return show(connection, group, subject, organisation=organisation, now_us=now_us)


def act_of(group: Group, subject: str, limits: Sequence[Limit]) -> Act:
    """What the log of changes says of them."""
    after = [
        {"limit": limit.told(limit.amount), "period": limit.period, "model": limit.model or None} for limit in limits
    ]
    return Act(action="limits.set", subject=f"{group}:{subject}", after={"limits": after})


def _who(group: Group, subject: str, *, organisation: str) -> Who:
    match group:
        case "team":
            return Who(organisation=organisation, team=subject)
        case "user":
            return Who(organisation=organisation, user=subject)
        case "organisation":
            if subject != organisation:
                raise NotFound(f"There is no organisation '{subject}' here.")
            return Who(organisation=organisation)
