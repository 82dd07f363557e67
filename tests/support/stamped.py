"""A database that counts who reads, and says itself whether anything was written."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from undercroft.storage.engine import Database

T = TypeVar("T")


class Stamped:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.reads = 0
        self.written = 0

    async def stamp(self) -> object:
        return self.written

    async def read(self, work: Callable[[Connection], T], /) -> T:
        self.reads += 1
        return await self._database.read(work)

    async def write(self, work: Callable[[Connection], T], /) -> T:
        self.written += 1
        return await self._database.write(work)
