"""People who sign in with a password, their sessions, and how often somebody may try.

Single sign-on comes in beside `sign_in`: whoever proves who somebody is calls `open_session`.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, select, update

from undercroft.access.callers import Caller
from undercroft.access.passwords import NOBODYS, is_password
from undercroft.access.repository import Wanted, make_owner
from undercroft.access.roles import ROLES, Rights, Role
from undercroft.errors import Conflict, NotAuthenticated, NotFound, RateLimited
from undercroft.record import Who
from undercroft.storage.counters import KEYS
from undercroft.storage.schema import accounts, insert, sessions, sign_in_failures, users
from undercroft.storage.versions import bump

SESSION_US: Final = 12 * 3600 * 1_000_000
TRIES: Final = 5
"""Failures of one account that cost nothing; each further one doubles the wait."""
TRIES_FROM_ADDRESS: Final = 20
FIRST_WAIT_US: Final = 1_000_000
LONGEST_WAIT_US: Final = 900_000_000
FORGET_US: Final = 3_600_000_000
"""Failures are forgotten an hour after the last."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may sign in."""

    organisation: str
    user: str
    team: str
    role: Role
    created_us: int
    disabled_us: int | None

    @property
    def caller(self) -> Caller:
        """Who this account makes of who is signed in to it."""
        return Caller(
            who=Who(organisation=self.organisation, team=self.team, user=self.user),
            rights=Rights(permissions=ROLES[self.role]),
            actor=f"user {self.user}",
            maker=f"user:{self.user}",
        )


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who tries to sign in."""

    organisation: str
    user: str
    address: str

    @property
    def buckets(self) -> tuple[str, str]:
        """What failures are counted by."""
        return f"user:{self.organisation}/{self.user}"[:300], f"address:{self.address}"[:300]


def add_account(
    connection: Connection, user: str, *, team: str, role: Role, password: str, organisation: str, now_us: int
) -> Account:
    """Makes an account; `password` is its hash. Raises Conflict where there is one, or the user is of another team."""
    make_owner(connection, Wanted(team=team, user=user), organisation=organisation, now_us=now_us)
    if connection.execute(select(accounts.c.role).where(_is(user, organisation))).first() is not None:
        raise Conflict(f"There is an account '{user}' already.", code="account_exists", param="user")
    row = {"organisation": organisation, "user_id": user, "role": role, "password": password, "created_us": now_us}
    connection.execute(insert(connection, accounts).values(row))
    bump(connection, KEYS)
    return account_of(connection, user, organisation=organisation)


def change_account(
    connection: Connection, user: str, changes: dict[str, object], *, organisation: str, now_us: int
) -> Account:
    """Another `role` or `password` (its hash), or `disabled`. Every session of it ends. Raises NotFound."""
    account_of(connection, user, organisation=organisation)
    values = {name: value for name, value in changes.items() if name in ("role", "password")}
    if "disabled" in changes:
        values["disabled_us"] = now_us if changes["disabled"] else None
    if values:
        connection.execute(update(accounts).where(_is(user, organisation)).values(**values))
    connection.execute(delete(sessions).where(sessions.c.organisation == organisation, sessions.c.user_id == user))
    bump(connection, KEYS)
    return account_of(connection, user, organisation=organisation)


def account_of(connection: Connection, user: str, *, organisation: str) -> Account:
    """One account. Raises NotFound."""
    row = connection.execute(_joined().where(_is(user, organisation))).one_or_none()
    if row is None:
        raise NotFound(f"There is no account '{user}'.", code="account_not_found")
    return _account(row)


def accounts_of(connection: Connection, *, organisation: str) -> list[Account]:
    """All of an organisation, by name."""
    own = _joined().where(accounts.c.organisation == organisation)
    return [_account(row) for row in connection.execute(own.order_by(accounts.c.user_id))]


# Signing in


def waiting_us(connection: Connection, attempt: Attempt, *, now_us: int) -> int:
    """How long this account, or whoever is at this address, has to wait before it may try again."""
    own = select(sign_in_failures.c.until_us).where(
        sign_in_failures.c.bucket.in_(attempt.buckets), sign_in_failures.c.until_us > now_us
    )
    return max((until_us - now_us for until_us in connection.execute(own).scalars()), default=0)


def demand_patience(wait_us: int) -> None:
    """Raises RateLimited for who has failed too often."""
    if wait_us > 0:
        raise RateLimited(
            "Too many failed sign-ins; wait before the next try.",
            code="sign_in_throttled",
            retry_after_s=-(-wait_us // 1_000_000),
        )


def stored_password(connection: Connection, user: str, *, organisation: str) -> str:
    """The hash to compare with: also where there is no such account, or it is disabled."""
    living = and_(_is(user, organisation), accounts.c.disabled_us.is_(None))
    return connection.execute(select(accounts.c.password).where(living)).scalar_one_or_none() or NOBODYS


def is_right(password: str, stored: str) -> bool:
    """Takes as long whether there is such an account or not."""
    return is_password(password, stored) and stored != NOBODYS


def note_failure(connection: Connection, attempt: Attempt, *, now_us: int) -> None:
    """Counts a failed sign-in, for the account and for the address."""
    connection.execute(delete(sign_in_failures).where(sign_in_failures.c.forget_us < now_us))
    for bucket, free in zip(attempt.buckets, (TRIES, TRIES_FROM_ADDRESS), strict=True):
        found = select(sign_in_failures.c.failures).where(sign_in_failures.c.bucket == bucket)
        failures = (connection.execute(found).scalar_one_or_none() or 0) + 1
        wait_us = wait_after(failures, free=free)
        values = {"failures": failures, "until_us": now_us + wait_us, "forget_us": now_us + wait_us + FORGET_US}
        fresh = insert(connection, sign_in_failures).values(bucket=bucket, **values)
        connection.execute(fresh.on_conflict_do_update(index_elements=["bucket"], set_=values))


def wait_after(failures: int, *, free: int) -> int:
    """0 for the first `free` failures, then 1, 2, 4 … s, at most a quarter of an hour."""
    return 0 if failures < free else min(FIRST_WAIT_US << min(failures - free, 20), LONGEST_WAIT_US)


def open_session(connection: Connection, token: str, *, attempt: Attempt, now_us: int) -> Account:
    """From now on `token` is who is signed in. Forgets the account's failures, and sessions that have ended."""
    user, organisation = attempt.user, attempt.organisation
    account = account_of(connection, user, organisation=organisation)
    if account.disabled_us is not None:
        raise NotAuthenticated(SIGN_IN_FAILED, code="sign_in_failed")
    connection.execute(delete(sessions).where(sessions.c.expires_us < now_us))
    connection.execute(delete(sign_in_failures).where(sign_in_failures.c.bucket == attempt.buckets[0]))
    row = {"organisation": organisation, "user_id": user, "created_us": now_us, "expires_us": now_us + SESSION_US}
    connection.execute(insert(connection, sessions).values(hash=_hash(token), **row))
    return account


def session_of(connection: Connection, token: str, *, now_us: int) -> Account | None:
    """Whose session it is; None for one that has ended, or was never."""
    living = select(sessions).where(sessions.c.hash == _hash(token), sessions.c.expires_us > now_us)
    row = connection.execute(living).one_or_none()
    if row is None:
        return None
    account = account_of(connection, row.user_id, organisation=row.organisation)
    return account if account.disabled_us is None else None


def close_session(connection: Connection, token: str) -> None:
    """Signs out."""
    connection.execute(delete(sessions).where(sessions.c.hash == _hash(token)))


SIGN_IN_FAILED: Final = "Name or password is wrong."


def new_token(entropy: Callable[[int], bytes]) -> str:
    """The cookie of a session: 256 random bits."""
    return base64.urlsafe_b64encode(entropy(32)).rstrip(b"=").decode()


def csrf_of(token: str) -> str:
    """What a page of ours sends along with every change, and another site's page cannot know: made from the cookie."""
    return hmac.digest(token.encode(), b"undercroft csrf", hashlib.sha256).hex()


def is_csrf(presented: str, token: str) -> bool:
    return hmac.compare_digest(presented.encode(errors="replace"), csrf_of(token).encode())


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _is(user: str, organisation: str) -> ColumnElement[bool]:
    return and_(accounts.c.organisation == organisation, accounts.c.user_id == user)


def _joined() -> Select[Any]:
    same = and_(users.c.organisation == accounts.c.organisation, users.c.id == accounts.c.user_id)
    return select(accounts, users.c.team).join(users, same)


def _account(row: Row[Any]) -> Account:
    return Account(
        organisation=row.organisation,
        user=row.user_id,
        team=row.team,
        role=row.role,
        created_us=row.created_us,
        disabled_us=row.disabled_us,
    )
