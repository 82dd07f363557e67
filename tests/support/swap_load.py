"""Clients that keep calling while versions are switched, and that never try anything twice."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec

END = b"\r\n\r\n"


@dataclass
class Seen:
    """What the clients saw."""

    answers: list[tuple[float, int, float]] = field(default_factory=list)
    """When each ended, its status, and how long it took."""
    broken: list[str] = field(default_factory=list)
    """What went wrong with connections."""
    streams: list[bool] = field(default_factory=list)
    """Whether each stream came whole."""
    reconnects: int = 0
    """Connections that were closed with notice."""

    @property
    def failed(self) -> int:
        return len(self.broken) + sum(status != 200 for _, status, _ in self.answers) + self.streams.count(False)

    def p99_ms(self, since: float, until: float) -> float:
        took = sorted(took for at, _, took in self.answers if since <= at <= until)
        return round(1000 * took[int(len(took) * 0.99)], 1) if took else 0.0


class SwapLoad:
    """`kept` clients that keep their connection, `fresh` ones that connect for each call, and `streams` that listen.

    `pause_s` is how long a client rests between its calls; without it they take all that the machine has.
    """

    def __init__(
        self, port: int, *, kept: int, fresh: int, streams: int = 0, model: str = "chat", pause_s: float = 0.0
    ) -> None:
        self._port = port
        self._pause_s = pause_s
        self._kept, self._fresh, self._streams = kept, fresh, streams
        self._model = model
        self._loop = asyncio.new_event_loop()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="load")
        self.seen = Seen()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join(timeout=120)
        assert not self._thread.is_alive()

    def goes_on_for(self, answers: int, *, within_s: float = 300) -> None:
        wanted, deadline = len(self.seen.answers) + answers, time.monotonic() + within_s
        while len(self.seen.answers) < wanted:
            assert time.monotonic() < deadline, f"{len(self.seen.answers)} of {wanted} answers"
            time.sleep(0.05)

    def _run(self) -> None:
        async def everyone() -> None:
            works: list[Coroutine[Any, Any, None]] = [self._keep(closes=False) for _ in range(self._kept)]
            works += [self._keep(closes=True) for _ in range(self._fresh)]
            works += [self._listen() for _ in range(self._streams)]
            await asyncio.gather(*works)

        try:
            self._loop.run_until_complete(everyone())
        finally:
            self._loop.close()

    async def _keep(self, *, closes: bool) -> None:
        request = self._request({"model": self._model, "messages": [{"role": "user", "content": "hi"}]}, closes=closes)
        while not self._over:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError as error:
                self.seen.broken.append(f"connect: {error!r}")
                await asyncio.sleep(0.05)
                continue
            try:
                await self._talk(reader, writer, request)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.seen.broken.append(f"talk: {error!r}")
            finally:
                writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        while not self._over:
            began = time.monotonic()
            writer.write(request)
            head = await reader.readuntil(END)
            fields = head.lower()
            length = int(fields.partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            now = time.monotonic()
            self.seen.answers.append((now, int(head[9:12]), now - began))
            if self._pause_s:
                await asyncio.sleep(self._pause_s)
            if b"connection: close" in fields:
                self.seen.reconnects += 1
                return

    async def _listen(self) -> None:
        body = {"model": "slow", "messages": [{"role": "user", "content": "tell"}], "stream": True}
        request = self._request(body, closes=True)
        while not self._over:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(request)
                heard = await reader.read(-1)
                writer.close()
            except OSError as error:
                self.seen.broken.append(f"stream: {error!r}")
                continue
            self.seen.streams.append(b"data: [DONE]\n\n" in heard)

    def _request(self, body: dict[str, Any], *, closes: bool) -> bytes:
        text = msgspec.json.encode(body)
        closing = "connection: close\r\n" if closes else ""
        return (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\n{closing}"
            f"content-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
        ).encode() + text
