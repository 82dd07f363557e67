"""Two servers that differ in one thing: one has the fast path. And clients that compare what they get, byte by byte."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import msgspec

from undercroft.api.app import Application
from undercroft.api.cycle import Cycle
from undercroft.api.fast_path.entry import FastPath
from undercroft.api.figures import Tally
from undercroft.api.guard import Request
from undercroft.api.lanes import WatchedProtocol
from undercroft.api.protocol import HttpProtocol
from undercroft.api.shortcuts import Head
from undercroft.api.watchman import Watchman
from undercroft.assembly.limits import Limiter
from undercroft.clock import SystemClock
from undercroft.gateway.state import Condition
from undercroft.ids import Ids
from undercroft.record import CallRecord
from undercroft.settings.model import Settings

_OWN: Final = (
    (re.compile(rb"(req_|chatcmpl-|msg_)0[0-9a-f]{31}"), rb"\1ID"),
    (re.compile(rb"cache_[0-9a-f]{32}"), b"cache_ID"),
    (re.compile(rb'"created":1[0-9]{9}'), b'"created":NOW'),
    (re.compile(rb"127\.0\.0\.1:[0-9]{5}"), b"UPSTREAM"),
)
"""What differs between two answers that are the same."""


class Counting:
    """The application's fast path, how many requests it has taken, and how many by the shortest way: all, and out of
    another format than OpenAI's."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.taken = 0
        self.expressed = 0
        self.translated = 0

    @property
    def fast_path(self) -> "Counting":
        return self

    @property
    def _counted(self) -> FastPath:
        assert self._application.fast_path is not None
        return self._application.fast_path

    def express(self, client: HttpProtocol, head: Any, body: bytes, /) -> bool:
        is_taken = self._counted.express(client, head, body)
        self.taken += is_taken
        self.expressed += is_taken
        self.translated += is_taken and not head.format.is_openai
        return is_taken

    def find(self, head: bytes, /) -> tuple[Head, int] | None:
        return self._counted.find(head)

    def read(self, head: bytes, request: Request, /) -> tuple[Head, int] | None:
        return self._counted.read(head, request)

    def take(self, cycle: Cycle, head: Any, body: bytes, /) -> bool:
        is_taken = self._counted.take(cycle, head, body)
        self.taken += is_taken
        return is_taken


@dataclass
class World:
    """One of the two servers."""

    application: Application
    port: int
    counting: Counting | None
    watchman: Watchman
    records: list[CallRecord]
    tally: Tally
    protocols: list[HttpProtocol] = field(default_factory=list)

    @property
    def taken(self) -> int:
        """Requests that went the fast path."""
        return self.counting.taken if self.counting is not None else 0

    @property
    def expressed(self) -> int:
        """Those of them that went the shortest way."""
        return self.counting.expressed if self.counting is not None else 0

    @property
    def translated(self) -> int:
        """Those of these that did not come in OpenAI's format."""
        return self.counting.translated if self.counting is not None else 0

    async def counted(self) -> dict[str, dict[tuple[str, ...], list[int]]]:
        """All that is counted of calls; of durations, how many there were."""
        undercroft = await self.application.start()
        undercroft.scrape("")
        totals = undercroft.metrics.totals()
        return {
            name: {
                labels: [sum(slots[:-1])] if totals.families[name].kind == "histogram" else list(slots)
                for labels, slots in series.items()
            }
            for name, series in totals.values.items()
            if name.startswith("ai_") and not name.startswith(_TIMED)
        }

    def answers(self) -> tuple[int, int, int, int]:
        """Requests that were begun, answered, answered badly, and timed."""
        figures = self.tally.figures(connections=0)
        return figures.begun, figures.answered, figures.failed, sum(figures.latencies)

    async def conditions(self) -> dict[str, tuple[Condition, str, int]]:
        """How the balancers see every deployment."""
        undercroft = await self.application.start()
        return {
            view.item.id: (view.condition, view.why, view.active)
            for model in undercroft.gateway.catalogue.models()
            for view in model.balancer.view()
        }

    async def held(self) -> int:
        """What is still held of limits."""
        undercroft = await self.application.start()
        assert undercroft.gateway.allow is not None
        limiter = undercroft.gateway.allow._holds
        assert isinstance(limiter, Limiter)
        return sum(each.held for each in limiter._opened()[0]._allowances.values())

    async def told(self) -> list[tuple[Any, ...]]:
        """The records of all calls that have ended, without what differs from call to call."""
        (await self.application.start()).recorder.tell()
        return [_without_moments(record) for record in self.records]


TRACES: Final = ("", "0af7651916cd43dd8448eb211c80319c")
"""Those that callers name; any other is made up."""

_TIMED: Final = ("ai_upstream_first_token_average", "ai_upstream_rest", "ai_ledger", "ai_job", "ai_event_loop")


def _without_moments(record: CallRecord) -> tuple[Any, ...]:
    fields = msgspec.structs.asdict(record)
    return tuple(
        (name, bool(value) if name == "first_token_us" or (name == "trace" and value not in TRACES) else value)
        for name, value in fields.items()
        if name not in ("id", "started_us", "duration_us")
    )


@asynccontextmanager
async def world(settings: Settings, *, is_fast: bool) -> AsyncIterator[World]:
    """A server on a free port of this loop."""
    application = Application(settings, bind="loopback")
    undercroft = await application.start()
    await undercroft.keys_known()
    records: list[CallRecord] = []
    undercroft.recorder.also_tell(records.extend)
    clock = SystemClock()
    watchman = Watchman(
        clock=clock, ids=Ids(clock), header_timeout_s=10, write_timeout_s=30, keep_alive_s=75, max_connections=1000
    )
    state = SimpleNamespace(connections=set(), tasks=set(), total_requests=0, default_headers=[])
    counting = Counting(application) if is_fast else None
    made: list[HttpProtocol] = []
    tally = Tally()

    def protocol() -> HttpProtocol:
        config: Any = SimpleNamespace(loaded_app=application)
        watched = WatchedProtocol(config, state, {}, watchman=watchman, tally=tally, beside=counting)  # type: ignore[arg-type]  # enough
        made.append(watched)
        return made[-1]

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    sweeping = asyncio.create_task(watchman.run())
    try:
        yield World(application, server.sockets[0].getsockname()[1], counting, watchman, records, tally, made)
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        server.close()
        for each in tuple(state.connections):
            each.transport.abort()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        await application.stop()


@asynccontextmanager
async def both(
    settings: Callable[[str], Mapping[str, Any]], first: str, second: str, folder: Path
) -> "AsyncIterator[tuple[World, World]]":
    """One with the fast path and one without, each in front of an upstream of its own: `settings` of its address."""
    with_it = Settings(data_dir=folder / "fast", **settings(first))
    without = Settings(data_dir=folder / "stages", **settings(second))
    async with world(with_it, is_fast=True) as fast, world(without, is_fast=False) as stages:
        yield fast, stages


@dataclass(frozen=True)
class Asked:
    """A request's bytes, and what its client does: reads to the end, or leaves after a while with what came."""

    message: bytes
    pieces: int = 1
    """Writes that it comes in; two are the head and the body."""
    leaves_after_s: float | None = None
    leaves_after_bytes: int | None = None


def message_of(body: bytes, *, fields: str = "", path: str = "/v1/chat/completions") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{fields}"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


async def ask(port: int, asked: Asked, *, within_s: float = 20.0) -> bytes:
    """All bytes of the answer, ids and times of our own apart."""
    async with asyncio.timeout(within_s):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for piece in _pieces(asked):
                writer.write(piece)
                await asyncio.sleep(0.005 if asked.pieces > 1 else 0)
            got = await _read(reader, asked)
        finally:
            writer.transport.abort()
    for pattern, instead in _OWN:
        got = pattern.sub(instead, got)
    return got


def _pieces(asked: Asked) -> list[bytes]:
    if asked.pieces == 1:
        return [asked.message]
    head, end, body = asked.message.partition(b"\r\n\r\n")
    if asked.pieces == 2:
        return [head + end, body]
    return [head[:20], head[20:] + end + body[:5], body[5:9], body[9:]]


async def _read(reader: asyncio.StreamReader, asked: Asked) -> bytes:
    got = b""
    if asked.leaves_after_s is not None:
        await asyncio.sleep(asked.leaves_after_s)
        return got
    while not _is_whole(got):
        piece = await reader.read(65536)
        got += piece
        if not piece or (asked.leaves_after_bytes is not None and len(got) >= asked.leaves_after_bytes):
            break
    return got


def _is_whole(got: bytes) -> bool:
    head, found, body = got.partition(b"\r\n\r\n")
    if not found:
        return False
    if b"transfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])
