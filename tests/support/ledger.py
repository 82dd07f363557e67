"""What tests of the ledger share: records, a disk and a database that fail on demand, and processes that die."""

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

from sqlalchemy import Connection, StaticPool, create_engine, select

from undercroft.errors import Unavailable
from undercroft.ledger.disk import SystemDisk
from undercroft.ledger.entries import record_of
from undercroft.ledger.shipping import GONE
from undercroft.record import CallOpened, CallRecord, Usage, Who
from undercroft.storage.schema import api_keys, calls, metadata, organisations, slices, spool_offsets, teams, users

T = TypeVar("T")


def ended(call_id: str, **changes: object) -> CallRecord:
    """A call that ended well; its cost is what its price says."""
    fields: dict[str, object] = {
        "id": call_id,
        "started_us": 1_767_225_600_000_000,
        "duration_us": 1_500_000,
        "who": Who(user="ada", key="key_1"),
        "endpoint": "/v1/chat/completions",
        "model": "chat",
        "provider": "openai",
        "deployment": "chat/0",
        "upstream_model": "gpt-5-mini",
        "attempts": 1,
        "usage": Usage(input=100, output=10),
        "cost_nano": 45_000,
        "price": "genai-prices 0.2.3 0.25/2/0.025",
    }
    return CallRecord(**(fields | changes))  # type: ignore[arg-type]  # a test's own field names are checked at run time


def opened(call_id: str, **changes: object) -> CallOpened:
    fields: dict[str, object] = {
        "id": call_id,
        "started_us": 1_767_225_600_000_000,
        "who": Who(user="ada", key="key_1"),
        "endpoint": "/v1/chat/completions",
        "model": "chat",
        "provider": "openai",
        "deployment": "chat/0",
        "estimated_input": 80,
    }
    return CallOpened(**(fields | changes))  # type: ignore[arg-type]  # as above


class ProcessDisk(SystemDisk):
    """The real disk as one process uses it: the process can die, and calls can be made to fail.

    `fail` sees each call's name and number and raises what the system would; a number may be returned by `write`'s
    stand-in to write only that much.
    """

    def __init__(self, fail: Callable[[str, int], int | None] | None = None) -> None:
        super().__init__()
        self.fail = fail
        self.count = 0
        self.read_count = 0
        self.synced = 0
        self._descriptors: set[int] = set()

    def die(self, torn: bytes = b"") -> None:
        """As kill -9 does: every descriptor closed, every lock gone; `torn` is what a last write left half done."""
        for descriptor in self._descriptors:
            if torn and not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                super().write(descriptor, torn)
            os.close(descriptor)
        self._descriptors.clear()
        self._mapped.clear()

    def make_folder(self, folder: Path) -> int:
        self._asked("make_folder")
        return self._kept(super().make_folder(folder))

    def claim(self, folder: Path) -> int | None:
        claim = super().claim(folder)
        return claim if claim is None else self._kept(claim)

    def release(self, claim: int) -> None:
        self._descriptors.discard(claim)
        super().release(claim)

    def create(self, path: Path, size_bytes: int) -> int:
        self._asked("create")
        return self._kept(super().create(path, size_bytes))

    def write(self, descriptor: int, data: bytes, /) -> int:
        most = self._asked("write")
        return super().write(descriptor, data if most is None else data[:most])

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        self._asked("truncate")
        super().truncate(descriptor, size_bytes)

    def close(self, descriptor: int) -> None:
        self._descriptors.discard(descriptor)
        super().close(descriptor)

    def read(self, path: Path, start: int, size_bytes: int) -> bytes:
        self.read_count += 1
        return super().read(path, start, size_bytes)

    async def sync(self, descriptor: int) -> None:
        self._asked("sync")
        await super().sync(descriptor)
        self.synced += 1

    def remove(self, path: Path) -> None:
        self._asked("remove")
        super().remove(path)

    def remove_folder(self, folder: Path) -> None:
        self._asked("remove_folder")
        super().remove_folder(folder)

    def _asked(self, name: str) -> int | None:
        self.count += 1
        return self.fail(name, self.count) if self.fail else None

    def _kept(self, descriptor: int) -> int:
        self._descriptors.add(descriptor)
        return descriptor


class MemoryDatabase:
    """SQLite in memory. `fail` sees each transaction's number and may have it refused, or committed and then lost."""

    def __init__(self) -> None:
        self._engine = create_engine("sqlite://", poolclass=StaticPool)
        metadata.create_all(self._engine, tables=[organisations, teams, users, api_keys, calls, spool_offsets, slices])
        self.fail: Callable[[int], Literal["refused", "answer lost"] | None] | None = None
        self.count = 0

    async def read(self, work: Callable[[Connection], T], /) -> T:
        # Others get their turn before and after, as with a database in a thread.
        await asyncio.sleep(0)
        result = self.run(work)
        await asyncio.sleep(0)
        return result

    async def write(self, work: Callable[[Connection], T], /) -> T:
        return await self.read(work)

    def run(self, work: Callable[[Connection], T], /) -> T:
        self.count += 1
        failure = self.fail(self.count) if self.fail else None
        if failure == "refused":
            raise Unavailable("The database is away.")
        with self._engine.begin() as connection:
            result = work(connection)
        if failure == "answer lost":
            raise Unavailable("The connection broke during COMMIT.")
        return result

    def rows(self) -> list[CallRecord]:
        with self._engine.begin() as connection:
            return [record_of(row) for row in connection.execute(select(calls).order_by(calls.c.id)).mappings()]

    def places(self) -> dict[str, tuple[int, int]]:
        """How far each spool is booked that is not gone."""
        there = select(spool_offsets).where(spool_offsets.c.segment < GONE.segment)
        with self._engine.begin() as connection:
            return {row.spool: (row.segment, row.position) for row in connection.execute(there)}

    def close(self) -> None:
        self._engine.dispose()


@contextmanager
def memory_database() -> Iterator[MemoryDatabase]:
    database = MemoryDatabase()
    try:
        yield database
    finally:
        database.close()
