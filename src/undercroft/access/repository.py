"""Virtual keys in the database."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, and_, select, update

from undercroft.access.keys import NewKey, StoredKey
from undercroft.access.roles import ROLES
from undercroft.errors import Conflict, NotFound
from undercroft.record import Who
from undercroft.storage.counters import KEYS
from undercroft.storage.schema import accounts, api_keys, insert, teams, users
from undercroft.storage.versions import bump


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key as its operator sees it; its secret is nowhere."""

    id: str
    name: str
    team: str
    user: str
    permissions: Sequence[str]
    models: Sequence[str] | None
    """None: all."""
    tags: Mapping[str, str]
    created_us: int
    expires_us: int | None
    revoked_us: int | None
    routes: Sequence[str] | None = None
    """Path templates; None: all that its permissions open."""
    networks: Sequence[str] | None = None
    """Where it may be used from; None: anywhere."""
    maker: str = ""
    """`key:ID` or `user:ID`; empty: the master key or the command line."""
    former_until_us: int | None
    """Until when the secret from before the last rotation opens too."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is to be."""

    name: str = ""
    team: str = "default"
    user: str = "default"
    permissions: Sequence[str] = ("ai",)
    models: Sequence[str] | None = None
    routes: Sequence[str] | None = None
    networks: Sequence[str] | None = None
    tags: Mapping[str, str] = {}
    expires_us: int | None = None
    maker: str = ""


def living_keys(connection: Connection) -> list[StoredKey]:
    """Every key that has not been revoked, of all organisations: whose it is comes out of the key itself."""
    rows = connection.execute(select(api_keys).where(api_keys.c.revoked_us.is_(None)))
    return [
        StoredKey(
            id=row.id,
            hash=row.hash,
            who=Who(organisation=row.organisation, team=row.team, user=row.user_id, key=row.id),
            permissions=frozenset(row.permissions),
            expires_us=row.expires_us,
            models=None if row.models is None else frozenset(row.models),
            routes=None if row.routes is None else frozenset(row.routes),
            networks=None if row.networks is None else tuple(row.networks),
            maker=row.maker or "",
            former_hash=row.former_hash,
            former_until_us=row.former_until_us or 0,
        )
        for row in rows
    ]


def living_accounts(connection: Connection) -> dict[tuple[str, str], frozenset[str]]:
    """What every account that is not disabled may do, by organisation and name."""
    rows = connection.execute(select(accounts).where(accounts.c.disabled_us.is_(None)))
    return {(row.organisation, row.user_id): ROLES[row.role] for row in rows if row.role in ROLES}


def add_key(connection: Connection, key: NewKey, wanted: Wanted, *, organisation: str, now_us: int) -> KeyRow:
    """Stores a key; its team and user are made where they are new.

    Raises Conflict where the user belongs to another team.
    """
    make_owner(connection, wanted, organisation=organisation, now_us=now_us)
    row = {
        "organisation": organisation,
        "id": key.id,
        "team": wanted.team,
        "user_id": wanted.user,
        "name": wanted.name,
        "hash": key.hash,
        "permissions": list(wanted.permissions),
        "models": None if wanted.models is None else list(wanted.models),
        "routes": None if wanted.routes is None else list(wanted.routes),
        "networks": None if wanted.networks is None else list(wanted.networks),
        "maker": wanted.maker or None,
        "tags": dict(wanted.tags),
        "created_us": now_us,
        "expires_us": wanted.expires_us,
    }
    connection.execute(insert(connection, api_keys).values(**row))
    bump(connection, KEYS)
    return key_of(connection, key.id, organisation=organisation)


def make_owner(connection: Connection, wanted: Wanted, *, organisation: str, now_us: int) -> None:
    """Makes the team and the user where they are new. Raises Conflict where the user belongs to another team."""
    made = {"organisation": organisation, "created_us": now_us}
    team = insert(connection, teams).values(id=wanted.team, name=wanted.team, **made)
    connection.execute(team.on_conflict_do_nothing())
    user = insert(connection, users).values(id=wanted.user, team=wanted.team, name=wanted.user, **made)
    connection.execute(user.on_conflict_do_nothing())
    of_team = connection.execute(
        select(users.c.team).where(users.c.organisation == organisation, users.c.id == wanted.user)
    ).scalar_one()
    if of_team != wanted.team and wanted.user != "default":
        raise Conflict(
            f"The user '{wanted.user}' belongs to the team '{of_team}', not to '{wanted.team}'.", param="user"
        )


def keys_of(connection: Connection, *, organisation: str) -> list[KeyRow]:
    """All keys of an organisation, revoked ones too, the oldest first."""
    own = select(api_keys).where(api_keys.c.organisation == organisation)
    rows = connection.execute(own.order_by(api_keys.c.created_us, api_keys.c.id)).mappings()
    return [_row_of(row) for row in rows]


def key_of(connection: Connection, key: str, *, organisation: str) -> KeyRow:
    """One key. Raises NotFound."""
    row = connection.execute(select(api_keys).where(_is(key, organisation))).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no key '{key}'.", code="key_not_found")
    return _row_of(row)


def revoke_key(connection: Connection, key: str, *, organisation: str, now_us: int) -> KeyRow:
    """Closes the door to a key, for good. Revoking it again changes nothing. Raises NotFound."""
    key_of(connection, key, organisation=organisation)
    living = and_(_is(key, organisation), api_keys.c.revoked_us.is_(None))
    connection.execute(update(api_keys).where(living).values(revoked_us=now_us, former_hash=None, former_until_us=None))
    bump(connection, KEYS)
    return key_of(connection, key, organisation=organisation)


def change_key(connection: Connection, key: str, changes: Mapping[str, object], *, organisation: str) -> KeyRow:
    """Changes `name`, `models`, `routes`, `networks` or `expires_us` of a key.

    Raises NotFound, and Conflict for one that was revoked.
    """
    there = key_of(connection, key, organisation=organisation)
    if there.revoked_us is not None:
        raise Conflict(f"The key '{key}' was revoked.", hint="Make a new one.")
    if changes:
        connection.execute(update(api_keys).where(_is(key, organisation)).values(**changes))
    bump(connection, KEYS)
    return key_of(connection, key, organisation=organisation)


def rotate_key(connection: Connection, fresh: NewKey, *, organisation: str, former_until_us: int) -> KeyRow:
    """Gives a key another secret. The former one opens until then; one from before that no longer does.

    The key's id stays, and with it what was booked and what it may use. Raises NotFound, and Conflict for a key that
    was revoked.
    """
    there = key_of(connection, fresh.id, organisation=organisation)
    if there.revoked_us is not None:
        raise Conflict(f"The key '{fresh.id}' was revoked.", hint="Make a new one.")
    changed = {"hash": fresh.hash, "former_hash": api_keys.c.hash, "former_until_us": former_until_us}
    connection.execute(update(api_keys).where(_is(fresh.id, organisation)).values(**changed))
    bump(connection, KEYS)
    return key_of(connection, fresh.id, organisation=organisation)


def _is(key: str, organisation: str) -> ColumnElement[bool]:
    return and_(api_keys.c.organisation == organisation, api_keys.c.id == key)


def _row_of(row: RowMapping) -> KeyRow:
    return KeyRow(
        id=row["id"],
        name=row["name"],
        team=row["team"],
        user=row["user_id"],
        permissions=row["permissions"],
        models=row["models"],
        routes=row["routes"],
        networks=row["networks"],
        maker=row["maker"] or "",
        tags=row["tags"] or {},
        created_us=row["created_us"],
        expires_us=row["expires_us"],
        revoked_us=row["revoked_us"],
        former_until_us=row["former_until_us"],
    )
