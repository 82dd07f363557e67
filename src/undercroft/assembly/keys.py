"""Virtual keys with what they may use: each change is one transaction, for the API and the command line alike."""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from sqlalchemy import Connection

from undercroft.access import repository
from undercroft.access.keys import NewKey
from undercroft.access.repository import KeyRow, Wanted
from undercroft.ledger.limit_repository import limits_of, set_limits, used_in
from undercroft.ledger.limits import Limit
from undercroft.record import Who

NO_LONGER_THAN_US = 30 * 86_400_000_000
"""How long the secret before a rotation may go on opening: two living secrets are twice the risk."""


class LimitState(msgspec.Struct, frozen=True, kw_only=True):
    """A limit and how much of it the ledger has in its present period."""

    limit: Limit
    used: int
    renews_us: int


class KeyState(msgspec.Struct, frozen=True, kw_only=True):
    """A key and its limits."""

    row: KeyRow
    limits: Sequence[LimitState]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different about a key."""

    name: str | UnsetType = UNSET
    models: Sequence[str] | UnsetType | None = UNSET
    routes: Sequence[str] | UnsetType | None = UNSET
    networks: Sequence[str] | UnsetType | None = UNSET
    expires_us: int | UnsetType | None = UNSET
    limits: Sequence[Limit] | UnsetType = UNSET


def make(
    connection: Connection, key: NewKey, wanted: Wanted, limits: Sequence[Limit], *, organisation: str, now_us: int
) -> KeyState:
    """Stores a key that was just made. Raises Conflict where its user belongs to another team."""
    repository.add_key(connection, key, wanted, organisation=organisation, now_us=now_us)
    _limit(connection, key.id, limits, organisation=organisation, now_us=now_us)
    return show(connection, key.id, organisation=organisation, now_us=now_us)


def show(connection: Connection, key: str, *, organisation: str, now_us: int) -> KeyState:
    """One key. Raises NotFound."""
    row = repository.key_of(connection, key, organisation=organisation)
    who = Who(organisation=organisation, team=row.team, user=row.user, key=row.id)
    limits = limits_of(connection, organisation=organisation, scope="key", subject=key)
    return KeyState(row=row, limits=states_of(connection, limits, who, now_us=now_us))


def states_of(connection: Connection, limits: Iterable[Limit], who: Who, *, now_us: int) -> list[LimitState]:
    """How much `who` has used of each."""
    windows = [(limit, limit.window(who, now_us)) for limit in limits]
    return [
        LimitState(limit=limit, used=used_in(connection, window), renews_us=window.ends_us) for limit, window in windows
    ]


def change(connection: Connection, key: str, changes: Changes, *, organisation: str, now_us: int) -> KeyState:
    """Changes a key. Raises NotFound, and Conflict for one that was revoked."""
    changed = {
        name: value
        for name, value in msgspec.structs.asdict(replace(changes, limits=UNSET)).items()
        if value is not UNSET
    }
    repository.change_key(connection, key, changed, organisation=organisation)
    if changes.limits is not UNSET:
        _limit(connection, key, changes.limits, organisation=organisation, now_us=now_us)
    return show(connection, key, organisation=organisation, now_us=now_us)


def _limit(connection: Connection, key: str, limits: Sequence[Limit], *, organisation: str, now_us: int) -> None:
    own = [replace(limit, organisation=organisation, scope="key", subject=key) for limit in limits]
    set_limits(connection, own, organisation=organisation, scope="key", subject=key, now_us=now_us)
