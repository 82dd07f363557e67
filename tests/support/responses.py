"""What tests of kept and background responses share."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection

from undercroft.errors import Unavailable
from undercroft.record import Who
from undercroft.responses.types import Kept, Order, Told
from undercroft.storage.engine import Database
from undercroft.wire.openai.responses import begun, decode, last_event, read_ended, stopped

T = TypeVar("T")
DAY_US = 86_400_000_000
NOW_US = 1_767_225_600_000_000


def response(id: str = "resp_1", *, status: str = "completed", **fields: Any) -> bytes:
    """A response object, as text of its output."""
    told = begun(decode(b'{"input":"hi"}').body, id=id, created=1, model="chat")
    return msgspec.json.encode({**msgspec.to_builtins(told), "status": status, **fields})


def kept(id: str = "resp_1", *, organisation: str = "default", **fields: Any) -> Kept:
    status = fields.pop("status", "completed")
    body = fields.pop("body", None) or response(id, status=status)
    told: dict[str, Any] = {
        "who": Who(organisation=organisation),
        "ended": read_ended(body),
        "input": b'[{"role":"user","content":"hi"}]',
        "previous": None,
        "is_background": False,
        "is_relayed": False,
        "created_us": NOW_US,
        "expires_us": NOW_US + 30 * DAY_US,
    }
    return Kept(**{**told, **fields})


def order(id: str = "resp_1") -> tuple[Order, Kept]:
    """A background response as it is accepted."""
    queued = begun(decode(b'{"input":"hi","background":true}').body, id=id, created=1, model="chat", status="queued")
    body = msgspec.json.encode(queued)
    asked = Order(id=id, call_id="req_1", who=Who(), trace="", source=b'{"input":"hi"}', queued=body, created_us=NOW_US)
    return asked, kept(id, body=body, is_background=True)


class Answerer:
    """Says `pieces`, one each time it is let; then how it ends."""

    def __init__(self, pieces: int = 2) -> None:
        self._pieces = pieces
        self.asked: list[Order] = []
        self.go = asyncio.Semaphore(0)
        self.closed = 0
        self.raises: Exception | None = None

    async def __call__(self, asked: Order, /) -> AsyncGenerator[Told, None]:
        self.asked.append(asked)
        try:
            for number in range(self._pieces):
                await self.go.acquire()
                if self.raises is not None:
                    raise self.raises
                yield Told(b'event: piece\ndata: {"number":%d}\n\n' % number)
            await self.go.acquire()
            done = stopped(asked.queued, "completed")
            yield Told(last_event(done, number=self._pieces + 2), done)
        finally:
            self.closed += 1


class Flaky:
    """A database that is away when told to be."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_away = False

    async def read(self, work: Callable[[Connection], T], /) -> T:
        self._demand()
        return await self._database.read(work)

    async def write(self, work: Callable[[Connection], T], /) -> T:
        self._demand()
        return await self._database.write(work)

    def _demand(self) -> None:
        if self.is_away:
            raise Unavailable("The database is away.")
