"""A provider that only waits: `python -m undercroft.planning.verification.stand_in MEAN_MS SCV SEED`.

Prints its port, then answers every chat completion after a lognormal time, until its standard input ends.
"""

import asyncio
import random
import sys
from typing import Final

from undercroft.planning.queueing import lognormal

ANSWER: Final = (
    b'{"id":"chatcmpl-stand-in","object":"chat.completion","created":1767225600,"model":"stand-in","choices":[{"index":'
    b'0,"message":{"role":"assistant","content":"An answer that took its time, as answers of models do.","refusal":null'
    b'},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":40,"completion_tokens":12,"total_tokens":52}}'
)
REPLY: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(ANSWER),
    ANSWER,
)


class StandIn(asyncio.Protocol):
    """One connection; requests one after the other."""

    def __init__(self, waits: list[float], rng: random.Random) -> None:
        self._waits, self._rng = waits, rng
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it always is one
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        mark = head.lower().find(b"content-length:")
        length = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
        if len(body) >= length:
            self._data = b""
            self._loop.call_later(self._rng.choice(self._waits), self._answer)

    def _answer(self) -> None:
        if self._transport is not None:
            self._transport.write(REPLY)


async def serve(mean_s: float, scv: float, seed: int) -> None:
    """Until standard input ends: whoever started this is gone then, or done."""
    loop, rng = asyncio.get_running_loop(), random.Random(seed)  # noqa: S311 - it is to repeat
    waits = lognormal(mean_s, scv)
    server = await loop.create_server(lambda: StandIn(waits, rng), "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(float(sys.argv[1]) / 1000, float(sys.argv[2]), int(sys.argv[3])))
