"""Contents of calls in a running server: taken beside the calls, written in batches, deleted when their time is up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Final

from undercroft.assembly.beside import alongside
from undercroft.assembly.database import DatabaseLink
from undercroft.clock import Clock
from undercroft.errors import NotFound, Unavailable
from undercroft.gateway.contents import Content
from undercroft.gateway.stages.content import KeepContent
from undercroft.settings.model import Ledger
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.redaction import Redactor

if TYPE_CHECKING:
    from undercroft.ledger.contents import KeptContent

WRITE_S: Final = 0.25
"""How often what has come is written."""
SWEEP_S: Final = 60.0
WAITING: Final = 1000
"""Contents that wait for the database; while it is away, further ones are dropped, and counted in the log."""
LAST_WRITE_S: Final = 5.0
DAY_US: Final = 86_400_000_000


class ContentDesk:
    """Takes contents in without waiting. What waits when a process is killed is lost: it is no account of anything."""

    def __init__(self, settings: Ledger, *, link: DatabaseLink, clock: Clock, is_frozen: bool = False) -> None:
        self._settings = settings
        self._link = link
        self._clock = clock
        self._is_frozen = is_frozen
        self._waiting: list[Content] = []
        self._came = asyncio.Event()
        self._dropped = 0
        self._redactor = Redactor()

    def stage(self) -> KeepContent | None:
        """The gateway's; None where nothing is ever kept, as in functions, which have nothing beside their calls."""
        if self._settings.content == "never" or self._is_frozen:
            return None
        return KeepContent(self, mode=self._settings.content)

    def keep(self, content: Content, /) -> None:
        if len(self._waiting) < WAITING:
            self._waiting.append(content)
        else:
            self._dropped += 1
        self._came.set()

    async def find(self, organisation: str, id: str) -> "KeptContent":
        """Raises NotFound, and Unavailable while the database is away."""
        from undercroft.ledger.contents import find

        found = await self._link.read(partial(find, id=id, organisation=organisation, now_us=self._clock.now_us()))
        if found is None:
            raise _unknown(id)
        return found

    async def remove(self, organisation: str, id: str) -> None:
        """Raises NotFound and Unavailable."""
        from undercroft.ledger.contents import remove

        if not await self._link.write(partial(remove, id=id, organisation=organisation)):
            raise _unknown(id)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Writes and deletes for as long as the block lasts, and writes what is left at its end."""
        if self._is_frozen:
            yield
            return
        try:
            async with alongside(self._write_all(), self._sweep_all(), raises=False):
                yield
        finally:
            try:
                async with asyncio.timeout(LAST_WRITE_S):
                    await self._write()
            except (Unavailable, TimeoutError) as error:
                get_logger("undercroft.contents").warning(
                    "contents_not_kept", calls=len(self._waiting), reason=str(error)
                )

    async def _write_all(self) -> None:
        await self._link.first_look()
        while True:
            await self._came.wait()
            self._came.clear()
            await self._clock.sleep(WRITE_S)
            try:
                await self._write()
            except Unavailable as error:
                self._came.set()
                get_logger("undercroft.contents").debug("contents_wait", reason=str(error))

    async def _sweep_all(self) -> None:
        await self._link.first_look()
        while True:
            await self._clock.sleep(WRITE_S)
            try:
                await self._sweep()
            except Unavailable as error:
                get_logger("undercroft.contents").debug("contents_not_deleted", reason=str(error))
            else:
                await self._clock.sleep(SWEEP_S)

    async def _write(self) -> None:
        if self._dropped:
            get_logger("undercroft.contents").warning("contents_dropped", calls=self._dropped)
            self._dropped = 0
        batch = self._waiting[:WAITING]
        if batch:
            self._link.database()  # while it is being opened, a thread imports SQLAlchemy: two at once get half of it
            from undercroft.ledger.contents import keep

            kept = await asyncio.to_thread(self._written, batch)
            await self._link.write(partial(keep, contents=kept))
            del self._waiting[: len(batch)]

    async def _sweep(self) -> None:
        from undercroft.ledger.contents import SWEPT, sweep

        while await self._link.write(partial(sweep, now_us=self._clock.now_us())) >= SWEPT:
            pass

    def _written(self, batch: list[Content]) -> "list[KeptContent]":
        from undercroft.ledger.contents import KeptContent

        longest, kept_us = self._settings.content_bytes, self._settings.content_days * DAY_US
        return [
            KeptContent(
                organisation=content.organisation,
                id=content.id,
                request=_cut(self._redactor.text(content.request_json()), longest),
                answer=_cut(self._redactor.text(content.answer_json()), longest),
                created_us=content.created_us,
                expires_us=content.created_us + kept_us,
            )
            for content in batch
        ]


def _cut(text: str, longest: int) -> str:
    """At most so many bytes, and no half character; NUL, which PostgreSQL does not take, is left out."""
    return text.encode()[:longest].decode("utf-8", "ignore").replace("\0", "")


def _unknown(id: str) -> NotFound:
    return NotFound(
        f"No content of a call '{id}' is kept.",
        hint="It is where [ledger] content says so, or the call's header x-undercroft-content said keep.",
    )
