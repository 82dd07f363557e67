"""What posts are signed under that somebody asked for in passing, by naming an address: jobs' own webhooks.

One secret an organisation and purpose. Functions that take a connection are works for `Database.read` or `write`.
"""

from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, select

from undercroft.storage.schema import insert, signing_secrets

JOBS: Final = "jobs"
"""The purpose of what jobs' own webhooks are signed under."""


def sealed(connection: Connection, *, organisation: str, purpose: str = JOBS) -> str | None:
    """The secret, encrypted; None before the first."""
    found = select(signing_secrets.c.secret).where(_is(organisation, purpose))
    return connection.execute(found).scalar_one_or_none()


def put(
    connection: Connection, secret: str, *, organisation: str, now_us: int, is_first: bool, purpose: str = JOBS
) -> None:
    """Keeps an encrypted secret in place of the one before; with `is_first` only where there is none."""
    fresh = insert(connection, signing_secrets).values(
        organisation=organisation, purpose=purpose, secret=secret, created_us=now_us
    )
    key, changed = ["organisation", "purpose"], {"secret": secret, "created_us": now_us}
    connection.execute(
        fresh.on_conflict_do_nothing(index_elements=key)
        if is_first
        else fresh.on_conflict_do_update(index_elements=key, set_=changed)
    )


def _is(organisation: str, purpose: str) -> ColumnElement[bool]:
    return and_(signing_secrets.c.organisation == organisation, signing_secrets.c.purpose == purpose)
