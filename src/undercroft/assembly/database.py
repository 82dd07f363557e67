"""Opens the database beside the running server, watches its schema, and keeps keys and limits current."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from undercroft.access.keys import KeyRing
from undercroft.access.vault import Vault
from undercroft.clock import Clock, beat
from undercroft.errors import Unavailable, UndercroftError
from undercroft.ledger.limit_book import LimitBook
from undercroft.settings.model import Settings
from undercroft.storage.counters import KEYS, SECRETS
from undercroft.telemetry.logs import get_logger

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from undercroft.storage.engine import Database

T = TypeVar("T")
Read = Callable[["Database", int], Awaitable[None]]
"""Reads into memory what a counter counts the changes of; is told what it stands at, 0 where nothing ever changed."""

POLL_S = 1.0
"""How often schema and keys are looked at: a migration or a revoked key takes effect within 2 s."""
UNCHANGED_S = 5.0
"""How long what nobody has written to is taken to be as it was."""
FIRST_WAIT_S = 5.0
"""How long after the start a request may wait for the first look at the database."""
FIRST_WAIT_FILE_S = 30.0
"""The same for a file of our own: it is not away, this machine is busy."""


class Aside:
    """The database for what is written with every call: nobody who looks whether something has changed means that."""

    def __init__(self, link: "DatabaseLink") -> None:
        self._link = link

    async def read(self, work: "Callable[[Connection], T]", /) -> T:
        return await self._link.read(work)

    async def write(self, work: "Callable[[Connection], T]", /) -> T:
        return await self._link.database().write(work)


class DatabaseLink:
    """The database as the server sees it: opening, ready, or away with a reason.

    Opening happens in a thread after the port answers: importing SQLAlchemy alone takes 0.15 s.
    """

    def __init__(
        self, settings: Settings, *, keys: KeyRing, limits: LimitBook, clock: Clock, vault: Vault | None = None
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._limits = limits
        self._clock = clock
        self._database: Database | None = None
        self._first_look = asyncio.Event()
        self._reads: dict[str, Read] = {KEYS: self._read_keys}
        if vault is not None:
            self._reads[SECRETS] = partial(self._read_secrets, vault)
        self._seen: dict[str, int] = {}
        """What each counter stood at when its things were read."""
        self.problem = "opening"
        """Empty when the database is ready."""
        self._migration = ""
        self._looking = asyncio.Lock()
        self._looked_us = 0
        self._writes = 0
        self._asking: tuple[int, asyncio.Future[int | None]] | None = None
        """What several ask at one moment is asked once, with the count of writes for which it is told."""
        self._as_seen: object = None
        """The stamp of the last look, which found all well."""
        self._seen_at = 0.0
        self.aside = Aside(self)

    @property
    def ready(self) -> bool:
        return not self.problem

    @contextlib.asynccontextmanager
    async def running(self, *, is_frozen: bool = False) -> AsyncIterator[None]:
        """Watches the database for as long as the block lasts; `is_frozen` leaves looking to `refresh`."""
        watch = asyncio.create_task(self._watch() if not is_frozen else asyncio.sleep(0))
        wait_s = FIRST_WAIT_S if self._settings.database.is_postgresql else FIRST_WAIT_FILE_S
        patience = asyncio.get_running_loop().call_later(wait_s, self._first_look.set)
        try:
            yield
        finally:
            patience.cancel()
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
            if self._database is not None:
                await asyncio.to_thread(self._database.close)

    async def first_look(self) -> None:
        """Returns when it is known how the database is, or it has not said for so long that it counts as away."""
        await self._first_look.wait()

    @property
    def needs_migration(self) -> bool:
        """The schema is empty or older."""
        return bool(self._migration)

    def demand_migrated(self) -> None:
        """Raises Unavailable while the schema is empty or older. (A newer one is no reason: its server is starting
        beside us, and migrations leave what we need.)"""
        if self._migration:
            raise Unavailable(
                f"The database is not ready: {self._migration}.", code="database_unavailable", retry_after_s=1
            )

    def database(self) -> "Database":
        """The database. Raises Unavailable while it is not ready."""
        if self._database is None or self.problem:
            raise Unavailable(
                f"The database is not ready: {self.problem}.", code="database_unavailable", retry_after_s=1
            )
        return self._database

    async def read(self, work: "Callable[[Connection], T]", /) -> T:
        """Runs `work` on one snapshot. Raises Unavailable while the database is away."""
        return await self.database().read(work)

    async def write(self, work: "Callable[[Connection], T]", /) -> T:
        """Runs `work` in one transaction. Raises Unavailable while the database is away."""
        self._writes += 1  # before it is queued, so that whoever sees the number sees what it counts
        return await self.database().write(work)

    async def stamp(self) -> object:
        """Equals an earlier one where nothing was written since that anybody might be looking out for. Raises
        Unavailable while the database is away."""
        if self._asking is None or self._asking[0] != self._writes:
            asking = self._writes, asyncio.ensure_future(self.database().others_writes())
            self._asking = asking
            asking[1].add_done_callback(lambda _: self._asked(asking))
        writes, others = self._asking[0], await asyncio.shield(self._asking[1])
        return object() if others is None else (writes, others)

    def _asked(self, asking: "tuple[int, asyncio.Future[int | None]]") -> None:
        if self._asking is asking:
            self._asking = None

    async def has_duty(self, name: str, *, holder: str, lease_us: int) -> bool:
        """Takes or renews the lease on a duty; False while another process has it. Raises Unavailable."""
        from undercroft.storage.duties import try_hold

        return await self.write(
            partial(try_hold, name=name, holder=holder, now_us=self._clock.now_us(), lease_us=lease_us)
        )

    async def refresh(self) -> None:
        """Looks at the database now, unless that was done within the last second."""
        async with self._looking:
            # By the wall clock: a monotonic one may have stood still while the process was frozen.
            if self._clock.now_us() - self._looked_us >= POLL_S * 1_000_000:
                await self._look_and_tell()

    async def _watch(self) -> None:
        while True:
            await self._look_and_tell()
            await beat(self._clock, POLL_S)

    async def _look_and_tell(self) -> None:
        logger = get_logger("undercroft.database")
        before = self.problem
        try:
            await self._look()
        except UndercroftError as error:
            self.problem = str(error).rstrip(".")
        if self.problem != before:
            if self.problem:
                logger.warning("database_unavailable", reason=self.problem)
            elif before != "opening":
                logger.info("database_ready")
        self._keys.problem = self.problem
        self._first_look.set()
        self._looked_us = self._clock.now_us()

    async def _look(self) -> None:
        if self._database is None:
            self._database = await asyncio.to_thread(self._open)
        stamp = await self.stamp() if self.ready else None
        is_recent = self._clock.monotonic() - self._seen_at < UNCHANGED_S
        if stamp is not None and stamp == self._as_seen and is_recent:
            return
        self._as_seen = None
        state = await self._database.state()
        if not state.is_ready:
            self._migration = state.reason if state.kind in ("empty", "older") else ""
            self.problem = state.reason
            return
        await self._read_changed(self._database, tuple(self._reads))
        self._migration = self.problem = ""
        self._as_seen, self._seen_at = stamp, self._clock.monotonic()

    def _open(self) -> "Database":
        from undercroft.storage.engine import open_database

        database = self._settings.database
        return open_database(
            database.url.get_secret_value() if database.url else None,
            data_dir=self._settings.data_dir,
            pool_size=database.pool_size,
            clock=self._clock,
            is_durable=self._settings.ledger.durability == "power",
        )

    def follow(self, counter: str, read: Read) -> None:
        """Calls `read` at the first look, and whenever the counter has moved: within 2 s, or at once by `changed`."""
        self._reads = {counter: read, **self._reads}  # before the keys: once they are known, all the rest is

    async def changed(self, counter: str) -> None:
        """Reads again now: this process itself has changed it."""
        await self._read_changed(self.database(), (counter,))

    async def _read_changed(self, database: "Database", counters: Iterable[str]) -> None:
        from undercroft.storage.versions import current

        now = await database.read(current)
        for counter in counters:
            version = now.get(counter, 0)
            if version != self._seen.get(counter):
                await self._reads[counter](database, version)
                self._seen[counter] = version

    async def _read_keys(self, database: "Database", _: int) -> None:
        from undercroft.access.repository import living_accounts, living_keys
        from undercroft.ledger.limit_repository import stored_limits

        # The limits first: no key is ever without its own.
        self._limits.replace(await database.read(stored_limits))
        accounts = await database.read(living_accounts)
        self._keys.replace(await database.read(living_keys), accounts=accounts)

    async def _read_secrets(self, vault: Vault, database: "Database", _: int) -> None:
        from undercroft.access.secret_repository import tokens_in

        before = vault.unreadable
        vault.replace(await database.read(partial(tokens_in, organisation="default")))
        if vault.unreadable and vault.unreadable != before:
            get_logger("undercroft.secrets").error(
                "secrets_unreadable",
                names=list(vault.unreadable),
                hint="They were encrypted under another key: bring that key back. Nothing was changed.",
            )
