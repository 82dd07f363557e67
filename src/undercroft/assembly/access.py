"""Who may come in, who has signed in, which secrets are stored, and what is written down of all that."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import SecretStr

from undercroft.access.callers import Caller
from undercroft.access.doors import Bind, Door, host_name
from undercroft.access.vault import Vault
from undercroft.assembly.secrets import StoredSecrets
from undercroft.clock import Clock
from undercroft.errors import NotAuthenticated
from undercroft.settings.model import Settings
from undercroft.telemetry.logs import get_logger

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from undercroft.access.accounts import Account
    from undercroft.access.audit import Act, Origin
    from undercroft.assembly.database import DatabaseLink

T = TypeVar("T")
HASHED_AT_ONCE: Final = 2
"""A password takes 19 MiB and 50 ms of a core to check: strangers must not have many checked at a time."""


class AccessDesk:
    """As long as the process lives, whatever the configuration becomes."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self.secrets = StoredSecrets(settings)
        self.vault = Vault(self.secrets.open)
        self._clock = clock
        self._link: DatabaseLink | None = None
        self._hashing = asyncio.Semaphore(HASHED_AT_ONCE)

    def use(self, link: "DatabaseLink") -> None:
        """The database, which itself needs the vault first."""
        self._link = link

    @property
    def link(self) -> "DatabaseLink":
        assert self._link is not None, "assembled"
        return self._link

    # What is written down

    async def change(self, work: "Callable[[Connection], T]", act: "Callable[[T], Act]", *, origin: "Origin") -> T:
        """Runs `work`, and writes what it was in the same transaction. Raises Unavailable."""
        from undercroft.access.audit import audited

        return await self.link.write(audited(work, act, origin=origin, now_us=self._clock.now_us()))

    async def note(self, act: "Act", *, origin: "Origin") -> None:
        """Writes an act that happens elsewhere. Raises Unavailable."""
        from undercroft.access.audit import append

        await self.link.write(partial(append, act=act, origin=origin, now_us=self._clock.now_us()))

    def beside(self, act: "Act", *, origin: "Origin") -> "Callable[[Connection, object], None]":
        """Writes an act in the transaction of its change, where another desk makes that."""
        from undercroft.access.audit import append

        now_us = self._clock.now_us()

        def write(connection: "Connection", _: object) -> None:
            append(connection, act, origin=origin, now_us=now_us)

        return write

    # Who signs in

    async def sign_in(self, *, user: str, password: str, organisation: str, address: str) -> "tuple[Account, str]":
        """The account and the cookie of its new session. Raises NotAuthenticated, RateLimited and Unavailable.

        Whether the name or the password was wrong is not told, neither in words nor by the time it takes.
        """
        from undercroft.access import accounts
        from undercroft.access.audit import Act, Origin
        from undercroft.access.passwords import NOBODYS

        attempt = accounts.Attempt(organisation=organisation, user=user, address=address)
        wait_us = await self.link.read(partial(accounts.waiting_us, attempt=attempt, now_us=self._clock.now_us()))
        accounts.demand_patience(wait_us)
        stored = await self.link.read(partial(accounts.stored_password, user=user, organisation=organisation))
        async with self._hashing:
            is_right = await asyncio.to_thread(accounts.is_right, password, stored)
        origin = Origin(organisation=organisation, actor=f"user {user}"[:200], address=address)
        if not is_right:
            fail = partial(accounts.note_failure, attempt=attempt, now_us=self._clock.now_us())
            if stored == NOBODYS:  # a name that is nobody's has no place in an organisation's log
                await self.link.write(fail)
            else:
                await self.change(fail, lambda _: Act(action="session.refused", subject=user), origin=origin)
            get_logger("undercroft.access").warning("sign_in_failed", user=user[:200], address=address)
            raise NotAuthenticated(accounts.SIGN_IN_FAILED, code="sign_in_failed")
        token = accounts.new_token(os.urandom)
        begin = partial(accounts.open_session, token=token, attempt=attempt, now_us=self._clock.now_us())
        account = await self.change(begin, lambda _: Act(action="session.open", subject=user), origin=origin)
        return account, token

    async def hashed(self, password: str) -> str:
        """Raises InvalidRequest for a password that will not do."""
        from undercroft.access.passwords import hash_password

        async with self._hashing:
            return await asyncio.to_thread(hash_password, password)

    async def signed_in(self, token: str) -> Caller | None:
        """Who is behind a session's cookie; None for one that has ended. Raises Unavailable."""
        from undercroft.access.accounts import session_of

        account = await self.link.read(partial(session_of, token=token, now_us=self._clock.now_us()))
        return None if account is None else account.caller

    async def sign_out(self, token: str, *, user: str, origin: "Origin") -> None:
        from undercroft.access.accounts import close_session
        from undercroft.access.audit import Act

        close = partial(close_session, token=token)
        await self.change(close, lambda _: Act(action="session.close", subject=user), origin=origin)

    def states(self) -> dict[str, str]:
        """What /health says, where something is wrong."""
        return {"secrets": self.problem} if self.problem else {}

    @property
    def problem(self) -> str:
        """What is wrong with the stored secrets; their names are for the operator alone."""
        count = len(self.vault.unreadable)
        return f"{count} cannot be read: the key they were encrypted under is not here" if count else ""


def door_of(settings: Settings, bind: Bind) -> Door:
    """What the operator decided about who may come in."""
    return Door(
        bind=bind,
        master_key=_text(settings.access.master_key),
        metrics_token=_text(settings.telemetry.metrics_token),
        allowed_hosts=frozenset(host_name(host) or host.lower() for host in settings.server.allowed_hosts),
        origins=frozenset(settings.server.cors_origins),
    )


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
