"""Organisations: the walls between tenants."""

import msgspec
from sqlalchemy import Connection, select

from undercroft.access.accounts import add_account
from undercroft.errors import Conflict
from undercroft.storage.schema import insert, organisations, teams, users


class OrganisationRow(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant."""

    id: str
    name: str
    created_us: int


def add_organisation(
    connection: Connection, id: str, *, name: str, admin: str, password: str, now_us: int
) -> OrganisationRow:
    """Makes one with its `default` team and user, and the account of its first admin; `password` is a hash.

    Raises Conflict where there is one.
    """
    if connection.execute(select(organisations.c.id).where(organisations.c.id == id)).first() is not None:
        raise Conflict(f"There is an organisation '{id}' already.", code="organisation_exists", param="id")
    named = {"name": name or id, "created_us": now_us}
    connection.execute(insert(connection, organisations).values(id=id, **named))
    inside = {"organisation": id, "id": "default", "name": "default", "created_us": now_us}
    connection.execute(insert(connection, teams).values(inside))
    connection.execute(insert(connection, users).values({**inside, "team": "default"}))
    add_account(connection, admin, team="default", role="admin", password=password, organisation=id, now_us=now_us)
    return OrganisationRow(id=id, name=name or id, created_us=now_us)


def all_organisations(connection: Connection) -> list[OrganisationRow]:
    """By id."""
    rows = connection.execute(select(organisations).order_by(organisations.c.id))
    return [OrganisationRow(id=row.id, name=row.name, created_us=row.created_us) for row in rows]
