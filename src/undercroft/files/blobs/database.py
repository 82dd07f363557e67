"""Blobs as rows of the database: where several machines share nothing else."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable
from functools import partial
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection, delete, select

from undercroft.errors import NotFound
from undercroft.storage.schema import blob_pieces, insert

T = TypeVar("T")

PIECE_BYTES: Final = 256 * 1024
"""Of a row: with four times as much, a file of 200 MB raised memory by 27 MB on its way in and out, not by 16."""
DELETED_AT_ONCE: Final = 32
"""Pieces that one transaction deletes, so that it holds nobody up for long."""


class Transactions(Protocol):
    """The database, as far as this needs it: each work runs in one transaction; raises Unavailable."""

    async def read(self, work: Callable[[Connection], T], /) -> T: ...

    async def write(self, work: Callable[[Connection], T], /) -> T: ...


class DatabaseBlobs:
    """A row for each quarter of a megabyte, written in a transaction of its own."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    async def write(self, organisation: str, name: str, pieces: AsyncIterable[bytes], /) -> int:
        put = partial(_put, organisation=organisation, name=name)
        number = size = 0
        waiting = bytearray()
        async for piece in pieces:
            waiting += piece
            size += len(piece)
            while len(waiting) >= PIECE_BYTES:
                with memoryview(waiting) as view:
                    data = bytes(view[:PIECE_BYTES])
                await self._database.write(partial(put, number=number, data=data))
                del waiting[:PIECE_BYTES]
                number += 1
        if waiting or not number:  # the row of an empty blob says that it is there
            await self._database.write(partial(put, number=number, data=bytes(waiting)))
        return size

    async def read(self, organisation: str, name: str, /) -> AsyncGenerator[bytes, None]:
        number = 0
        while True:
            data = await self._database.read(partial(_piece, organisation=organisation, name=name, number=number))
            if data is None and not number:
                raise NotFound(f"The content of '{name}' is not there.", code="unknown_file")
            if not data:
                return
            yield data
            number += 1

    async def delete(self, organisation: str, name: str, /) -> None:
        while await self._database.write(partial(_delete_some, organisation=organisation, name=name)):
            pass


def _put(connection: Connection, *, organisation: str, name: str, number: int, data: bytes) -> None:
    """May be tried again: what is there already is this very piece."""
    row = insert(connection, blob_pieces).values(organisation=organisation, name=name, number=number, data=data)
    connection.execute(row.on_conflict_do_nothing())


def _piece(connection: Connection, *, organisation: str, name: str, number: int) -> bytes | None:
    found = connection.execute(
        select(blob_pieces.c.data).where(
            blob_pieces.c.organisation == organisation, blob_pieces.c.name == name, blob_pieces.c.number == number
        )
    ).scalar_one_or_none()
    return None if found is None else bytes(found)


def _delete_some(connection: Connection, *, organisation: str, name: str) -> int:
    mine = (blob_pieces.c.organisation == organisation) & (blob_pieces.c.name == name)
    some = select(blob_pieces.c.number).where(mine).order_by(blob_pieces.c.number.desc()).limit(DELETED_AT_ONCE)
    numbers = list(connection.execute(some).scalars())
    if numbers:
        connection.execute(delete(blob_pieces).where(mine, blob_pieces.c.number.in_(numbers)))
    return len(numbers)
