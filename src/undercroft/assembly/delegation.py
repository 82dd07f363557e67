"""Keys that callers make for others: never with more than they have themselves."""

from collections.abc import Sequence

from msgspec import UNSET
from msgspec.structs import replace
from sqlalchemy import Connection

from undercroft.access.callers import Caller
from undercroft.access.keys import NewKey
from undercroft.access.repository import KeyRow, Wanted, key_of, revoke_key, rotate_key
from undercroft.access.roles import Rights, excess, networks_of
from undercroft.assembly import keys as desk
from undercroft.errors import NotAllowed, NotFound
from undercroft.ledger.limit_repository import limits_of
from undercroft.ledger.limits import Limit


def make_within(
    connection: Connection, key: NewKey, wanted: Wanted, limits: Sequence[Limit], *, caller: Caller, now_us: int
) -> desk.KeyState:
    """Stores a key that `caller` makes. Raises NotAllowed for one with more rights, and Conflict as `desk.make`."""
    wanted = replace(wanted, maker=caller.maker)
    if not _rules(caller):
        wanted = replace(wanted, team=caller.who.team, user=caller.who.user)
    _demand_subset(_rights(wanted), caller)
    _demand_limits(connection, limits, caller)
    organisation = caller.who.organisation
    return desk.make(connection, key, wanted, limits, organisation=organisation, now_us=now_us)


def change_within(
    connection: Connection, key: str, changes: desk.Changes, *, caller: Caller, now_us: int
) -> tuple[desk.KeyState, desk.KeyState]:
    """A key before and after. Raises NotFound, NotAllowed and Conflict."""
    demand_own(connection, key, caller=caller)
    organisation = caller.who.organisation
    before = desk.show(connection, key, organisation=organisation, now_us=now_us)
    after = desk.change(connection, key, changes, organisation=organisation, now_us=now_us)
    row = after.row
    _demand_subset(
        Rights(
            permissions=frozenset(row.permissions),
            models=None if row.models is None else frozenset(row.models),
            routes=None if row.routes is None else frozenset(row.routes),
            networks=None if row.networks is None else networks_of(row.networks),
            expires_us=row.expires_us,
        ),
        caller,
    )
    if changes.limits is not UNSET:
        _demand_limits(connection, changes.limits, caller)
    return before, after


def rotate_within(connection: Connection, fresh: NewKey, *, caller: Caller, former_until_us: int) -> KeyRow:
    """The key with its new secret. Raises NotFound and NotAllowed."""
    demand_own(connection, fresh.id, caller=caller)
    return rotate_key(connection, fresh, organisation=caller.who.organisation, former_until_us=former_until_us)


def revoke_within(connection: Connection, key: str, *, caller: Caller, now_us: int) -> KeyRow:
    """The key, worth nothing from now on. Raises NotFound and NotAllowed."""
    demand_own(connection, key, caller=caller)
    return revoke_key(connection, key, organisation=caller.who.organisation, now_us=now_us)


def demand_own(connection: Connection, key: str, *, caller: Caller) -> None:
    """Raises NotFound where the key is another user's and the caller may not manage: it need not know of it.

    A key never changes itself: what bounds it would be worth nothing.
    """
    row = key_of(connection, key, organisation=caller.who.organisation)
    if not _rules(caller) and (row.user != caller.who.user or row.team != caller.who.team):
        raise NotFound(f"There is no key '{key}' of yours.", code="key_not_found")
    if key == caller.who.key and not _rules(caller):
        raise NotAllowed("A key cannot change itself.")


def _rules(caller: Caller) -> bool:
    return "manage" in caller.rights.permissions


def _rights(wanted: Wanted) -> Rights:
    return Rights(
        permissions=frozenset(wanted.permissions),
        models=None if wanted.models is None else frozenset(wanted.models),
        routes=None if wanted.routes is None else frozenset(wanted.routes),
        networks=None if wanted.networks is None else networks_of(wanted.networks),
        expires_us=wanted.expires_us,
    )


def _demand_subset(rights: Rights, caller: Caller) -> None:
    if more := excess(rights, caller.rights):
        raise NotAllowed(f"You cannot give a key {more}: you have not got it yourself.", code="more_than_its_maker")


def _demand_limits(connection: Connection, limits: Sequence[Limit], caller: Caller) -> None:
    """Whoever is limited makes no key with looser limits."""
    if not caller.who.key:
        return
    own = limits_of(connection, organisation=caller.who.organisation, scope="key", subject=caller.who.key)
    given = {(limit.measure, limit.period, limit.model): limit.amount for limit in limits}
    for limit in own:
        amount = given.get((limit.measure, limit.period, limit.model))
        if amount is None or amount > limit.amount:
            raise NotAllowed(
                f"You cannot give a key more {limit.measure} per {limit.period} than you have yourself.",
                code="more_than_its_maker",
            )
