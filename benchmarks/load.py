"""Load over raw sockets.

Closed loop: a fixed number of callers, each waiting for its answer. Open loop: arrivals at a fixed rate, however long
answers take, each measured from when it was due (no coordinated omission). How long the first answer on a connection
takes is not counted in the closed loop, whoever answers: with all callers connecting in one moment it would say how
long the last of them had to wait for that.
"""

import asyncio
import random
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

PROMPT = "Summarise the following minutes in two sentences, please. " * 9
"""About 0.6 kB with the request around it."""


@dataclass(slots=True)
class Outcome:
    """What one run saw. Latencies in seconds."""

    latencies_s: list[float] = field(default_factory=list)
    untimed: int = 0
    """Answers that are not among them."""
    failures: int = 0
    reads: int = 0
    """Separate reads of streamed chunks."""
    chunks: int = 0
    elapsed_s: float = 0.0

    @property
    def answers(self) -> int:
        return len(self.latencies_s) + self.untimed

    def quantile_ms(self, share: float) -> float:
        """A latency quantile in milliseconds."""
        if len(self.latencies_s) < 2:
            return float("nan")
        return statistics.quantiles(self.latencies_s, n=1000, method="inclusive")[round(share * 1000) - 1] * 1000


def request(
    path: str, model: str, *, port: int, stream: bool, key: str, headers: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """The bytes of one chat call."""
    streamed = ',"stream":true' if stream else ""
    body = f'{{"model":"{model}","messages":[{{"role":"user","content":"{PROMPT}"}}],"temperature":0.2{streamed}}}'
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\naccept: application/json\r\nuser-agent: undercroft-bench\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        + f"content-length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def messages_request(model: str, *, port: int, key: str) -> bytes:
    """The same call in Anthropic's format."""
    body = (
        f'{{"model":"{model}","max_tokens":200,"messages":[{{"role":"user","content":"{PROMPT}"}}],"temperature":0.2}}'
    )
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        "anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\nuser-agent: undercroft-bench\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


class Caller(asyncio.Protocol):
    """One keep-alive connection; `ask` sends a request and waits for the whole answer."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[bool] | None = None
        self._data = b""
        self._end: bytes | int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it always is one
        self._transport = transport

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    async def ask(self, message: bytes) -> bool:
        """Whether a whole answer with status 200 came."""
        if self._transport is None:
            return False
        self._waiting = asyncio.get_running_loop().create_future()
        self._data, self._end = b"", None
        self._transport.write(message)
        return await self._waiting

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._end is None:
            self._read_head()
        elif self._end == b"0\r\n\r\n":
            self._outcome.reads += 1
            self._outcome.chunks += data.count(b"data: {")
        if self._is_whole():
            self._finish()

    def _is_whole(self) -> bool:
        if isinstance(self._end, int):
            return len(self._data) >= self._end
        return self._end is not None and self._data.endswith(self._end)

    def _read_head(self) -> None:
        at = self._data.find(b"\r\n\r\n")
        if at < 0:
            return
        head = self._data[:at].lower()
        mark = head.find(b"content-length:")
        if mark >= 0:
            self._end = at + 4 + int(head[mark + 15 :].split(b"\r\n", 1)[0])
        else:
            self._end = b"0\r\n\r\n"

    def _finish(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(self._data.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(False)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def _connect(port: int, outcome: Outcome) -> Caller:
    _, caller = await asyncio.get_running_loop().create_connection(lambda: Caller(outcome), "127.0.0.1", port)
    return caller


async def closed_loop(port: int, message: bytes, *, connections: int, seconds: float) -> Outcome:
    """Each of `connections` callers asks again as soon as it has its answer."""
    loop, outcome = asyncio.get_running_loop(), Outcome()
    start = loop.time()
    end = start + seconds

    async def call() -> None:
        caller, is_first = await _connect(port, outcome), True
        while loop.time() < end:
            began = loop.time()
            if not await caller.ask(message):
                outcome.failures += 1
                caller.close()
                caller, is_first = await _connect(port, outcome), True
            elif is_first:
                outcome.untimed += 1
                is_first = False
            else:
                outcome.latencies_s.append(loop.time() - began)
        caller.close()

    await asyncio.gather(*(call() for _ in range(connections)))
    outcome.elapsed_s = loop.time() - start
    return outcome


async def open_loop(port: int, message: bytes, *, rate: float, seconds: float, seed: int = 1) -> Outcome:
    """Poisson arrivals at `rate` a second; each latency counts from the moment the call was due."""
    loop, outcome, rng = asyncio.get_running_loop(), Outcome(), random.Random(seed)
    idle: list[Caller] = []
    start = loop.time()

    async def call(due: float) -> None:
        caller = idle.pop() if idle else await _connect(port, outcome)
        if await caller.ask(message):
            outcome.latencies_s.append(loop.time() - due)
            idle.append(caller)
        else:
            outcome.failures += 1
            caller.close()

    tasks, due = [], start
    while due < start + seconds:
        due += rng.expovariate(rate)
        await asyncio.sleep(max(0.0, due - loop.time()))
        tasks.append(asyncio.create_task(call(due)))
    await asyncio.gather(*tasks)
    for caller in idle:
        caller.close()
    outcome.elapsed_s = loop.time() - start
    return outcome
