"""Files of all organisations, rows and bytes together; one never sees another's."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from functools import partial
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection

from undercroft.clock import Clock
from undercroft.errors import InvalidRequest, NotFound, Unavailable
from undercroft.files import repository
from undercroft.files.blob import BlobStore
from undercroft.files.types import PREFIX, Arrived, Cursor, Label, StoredFile
from undercroft.ids import Ids
from undercroft.record import Who
from undercroft.telemetry.logs import get_logger

T = TypeVar("T")

SWEPT: Final = 50
"""Files that one sweep deletes at a time."""


class Transactions(Protocol):
    """The database, as far as files need it: each work runs in one transaction; raises Unavailable."""

    async def read(self, work: Callable[[Connection], T], /) -> T: ...

    async def write(self, work: Callable[[Connection], T], /) -> T: ...


class Cabinet:
    """Takes, lists, reads and deletes files. Raises Unavailable while the database or the blobs are away."""

    def __init__(self, database: Transactions, blobs: BlobStore, *, ids: Ids, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._ids = ids
        self._clock = clock

    async def create(self, who: Who, label: Label, pieces: AsyncIterable[bytes]) -> StoredFile:
        """A file of these bytes: it is there, and outlasts this process, when this returns."""
        return await self.keep(await self.receive(who, pieces), label)

    async def receive(self, who: Who, pieces: AsyncIterable[bytes]) -> Arrived:
        """Takes bytes of which is said later what they are. What `pieces` raises is passed on, and nothing stays."""
        named, now_us = self._ids.new(PREFIX), self._clock.now_us()
        await self._database.write(partial(repository.announce, id=named, who=who, now_us=now_us))
        try:
            size = await self._blobs.write(who.organisation, named, pieces)
        except BaseException:
            await self.discard(who.organisation, named)
            raise
        return Arrived(id=named, who=who, size_bytes=size, created_us=now_us)

    async def keep(self, arrived: Arrived, label: Label) -> StoredFile:
        """Makes a file of what has arrived. (`repository.keep` does it in a transaction of yours.)"""
        kept = await self._database.write(partial(repository.keep, arrived=arrived, label=label))
        if kept is None:
            raise Unavailable("The upload took too long: what had come was deleted.", code="files_unavailable")
        return kept

    async def discard(self, organisation: str, id: str) -> None:
        """What has arrived is not wanted. It goes now or, if the database is away, once its time is over."""
        abandon = partial(repository.abandon, organisation=organisation, id=id)
        removing = asyncio.ensure_future(self._remove_after(abandon, organisation, id))
        try:
            await asyncio.shield(removing)  # also when it is a leaving client that ends this
        except Unavailable as error:
            get_logger("undercroft.files").warning("upload_not_removed", file=id, reason=str(error))

    async def find(self, organisation: str, id: str) -> StoredFile:
        """Raises NotFound."""
        find = partial(repository.find, organisation=organisation, id=id, now_us=self._clock.now_us())
        found = await self._database.read(find)
        if found is None:
            raise unknown_file(id)
        return found

    async def page(self, organisation: str, cursor: Cursor) -> list[StoredFile]:
        """Some of the organisation's files by time. Raises InvalidRequest for an `after` that is not there."""
        page = partial(repository.listed, organisation=organisation, cursor=cursor, now_us=self._clock.now_us())
        found = await self._database.read(page)
        if found is None:
            raise InvalidRequest(
                f"Invalid 'after': there is no file '{cursor.after}'.", code="invalid_value", param="after"
            )
        return found

    def content(self, file: StoredFile) -> AsyncGenerator[bytes, None]:
        """The bytes, in pieces. Raises NotFound where they were deleted meanwhile."""
        return self._blobs.read(file.organisation, file.id)

    async def delete(self, organisation: str, id: str) -> None:
        """Raises NotFound."""
        now_us = self._clock.now_us()
        leave = partial(repository.leave, organisation=organisation, id=id, now_us=now_us)
        if not await self._database.write(leave):
            raise unknown_file(id)
        await self._remove(organisation, id)

    async def sweep(self) -> int:
        """Deletes all whose time is over, uploads and deletions that broke off among them; how many those were."""
        count = 0
        while over := await self._database.read(partial(repository.over, now_us=self._clock.now_us(), limit=SWEPT)):
            for organisation, named in over:
                await self._remove(organisation, named)
            count += len(over)
        return count

    async def _remove_after(self, first: Callable[[Connection], None], organisation: str, id: str) -> None:
        await self._database.write(first)
        await self._remove(organisation, id)

    async def _remove(self, organisation: str, id: str) -> None:
        """The bytes first: while the row is there, somebody knows that they are to go."""
        await self._blobs.delete(organisation, id)
        await self._database.write(partial(repository.forget, organisation=organisation, id=id))


def unknown_file(id: str) -> NotFound:
    return NotFound(f"No such File object: {id[:100]}", code="unknown_file", param="id")
