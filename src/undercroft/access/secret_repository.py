"""Stored secrets in the database, and encrypting them anew under another key."""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import msgspec
from sqlalchemy import Connection, Select, Table, delete, select, update

from undercroft.errors import NotFound, UnreadableSecret
from undercroft.storage.counters import SECRETS
from undercroft.storage.schema import insert, secrets, signing_secrets, webhooks
from undercroft.storage.versions import bump

AT_ONCE: Final = 100
"""Rows that one transaction of a rotation encrypts anew."""

_SEALED: Final[tuple[tuple[Table, str, str], ...]] = (
    (secrets, "name", "token"),
    (webhooks, "id", "secret"),
    (signing_secrets, "purpose", "secret"),
)
"""Every table with tokens: its id within the organisation, and the column that holds them."""


class Box(Protocol):
    """Encrypts and decrypts."""

    def seal(self, text: str, /) -> str: ...
    def open(self, token: str, /) -> str: ...
    def is_current(self, token: str, /) -> bool:
        """Whether the key that now encrypts opens it."""
        ...


class SecretRow(msgspec.Struct, frozen=True, kw_only=True):
    """A secret as its operator sees it: its text is nowhere."""

    name: str
    created_us: int
    changed_us: int


def tokens_in(connection: Connection, *, organisation: str) -> dict[str, str]:
    """Every secret's token by name."""
    rows = connection.execute(select(secrets.c.name, secrets.c.token).where(secrets.c.organisation == organisation))
    return {row.name: row.token for row in rows}


def set_secret(connection: Connection, name: str, token: str, *, organisation: str, now_us: int) -> bool:
    """Stores a secret's token in place of the one before; whether there was none."""
    was = connection.execute(_named(name, organisation)).one_or_none()
    fresh = insert(connection, secrets).values(
        organisation=organisation, name=name, token=token, created_us=now_us, changed_us=now_us
    )
    changed = {"token": token, "changed_us": now_us}
    connection.execute(fresh.on_conflict_do_update(index_elements=["organisation", "name"], set_=changed))
    bump(connection, SECRETS)
    return was is None


def list_secrets(connection: Connection, *, organisation: str) -> list[SecretRow]:
    """All of an organisation, by name."""
    own = select(secrets).where(secrets.c.organisation == organisation).order_by(secrets.c.name)
    return [
        SecretRow(name=row.name, created_us=row.created_us, changed_us=row.changed_us)
        for row in connection.execute(own)
    ]


def remove_secret(connection: Connection, name: str, *, organisation: str) -> None:
    """Raises NotFound."""
    if connection.execute(_named(name, organisation)).one_or_none() is None:
        raise NotFound(f"There is no secret '{name}'.", code="secret_not_found")
    connection.execute(delete(secrets).where(secrets.c.organisation == organisation, secrets.c.name == name))
    bump(connection, SECRETS)


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all tokens."""

    rotated: int = 0
    current: int = 0
    """Under the present key already, from an earlier run perhaps."""
    unreadable: tuple[str, ...] = ()
    """`table/organisation/id` of those that no key opens; they stay as they are."""

    @property
    def total(self) -> int:
        return self.rotated + self.current + len(self.unreadable)


class Place(msgspec.Struct, frozen=True, order=True):
    """How far a rotation has come: rows up to and with this one are done."""

    table: int = 0
    organisation: str = ""
    id: str = ""


def every_token(connection: Connection) -> Iterator[tuple[str, str]]:
    """All tokens there are, each with `table/organisation/id`."""
    for table, name, column in _SEALED:
        for row in connection.execute(select(table.c.organisation, table.c[name], table.c[column])):
            yield f"{table.name}/{row[0]}/{row[1]}", row[2]


def count_sealed(connection: Connection) -> int:
    """How many tokens there are."""
    return sum(len(connection.execute(select(table.c[name])).all()) for table, name, _ in _SEALED)


def unreadable(connection: Connection, box: Box) -> tuple[str, ...]:
    """`table/organisation/id` of every token that no key opens."""
    lost = []
    for table, name, column in _SEALED:
        every = select(table.c.organisation, table.c[name], table.c[column])
        for organisation, row_id, token in connection.execute(every.order_by(table.c.organisation, table.c[name])):
            try:
                box.open(token)
            except UnreadableSecret:
                lost.append(_address(table, organisation, row_id))
    return tuple(lost)


def rotate_some(connection: Connection, box: Box, place: Place) -> tuple[Rotation, Place | None]:
    """Encrypts the next rows anew under the present key; the place to go on from, None at the end.

    A row is changed only if it is still what was read, so it may run beside servers, several times and again.
    """
    table, name, column = _SEALED[place.table]
    after = (table.c.organisation > place.organisation) | (
        (table.c.organisation == place.organisation) & (table.c[name] > place.id)
    )
    ordered = select(table.c.organisation, table.c[name], table.c[column]).where(after)
    rows = connection.execute(ordered.order_by(table.c.organisation, table.c[name]).limit(AT_ONCE)).all()
    rotated, current, lost = 0, 0, list[str]()
    for organisation, row_id, token in rows:
        try:
            if box.is_current(token):
                current += 1
                continue
            fresh = box.seal(box.open(token))
        except UnreadableSecret:
            lost.append(_address(table, organisation, row_id))
            continue
        same = (table.c.organisation == organisation) & (table.c[name] == row_id) & (table.c[column] == token)
        connection.execute(update(table).where(same).values({column: fresh}))
        rotated += 1
    if rotated:
        bump(connection, SECRETS)
    found = Rotation(rotated=rotated, current=current, unreadable=tuple(lost))
    if len(rows) == AT_ONCE:
        return found, Place(place.table, rows[-1][0], rows[-1][1])
    return found, Place(place.table + 1) if place.table + 1 < len(_SEALED) else None


def summed(reports: Sequence[Rotation]) -> Rotation:
    """The report of a whole rotation."""
    return Rotation(
        rotated=sum(each.rotated for each in reports),
        current=sum(each.current for each in reports),
        unreadable=tuple(name for each in reports for name in each.unreadable),
    )


def _address(table: Table, organisation: str, row_id: str) -> str:
    return f"{table.name}/{organisation}/{row_id}"


def _named(name: str, organisation: str) -> Select[tuple[str]]:
    return select(secrets.c.name).where(secrets.c.organisation == organisation, secrets.c.name == name)
