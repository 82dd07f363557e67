"""Virtual keys in the database."""

from sqlalchemy import Connection, select

from undercroft.access.keys import StoredKey
from undercroft.record import Who
from undercroft.storage.schema import api_keys
from undercroft.storage.versions import current

KEYS = "keys"
"""The counter in `versions` that is bumped with every change to `api_keys`."""


def keys_version(connection: Connection) -> int:
    """Changes whenever a key is made, changed or revoked."""
    return current(connection).get(KEYS, 0)


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
        )
        for row in rows
    ]
