"""Whether a crowd of open streams and dawdling clients slows everybody else: p99 of plain calls, alone and beside."""

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.contenders import Contender
from benchmarks.load import open_loop, request
from benchmarks.upstream import DRIP_S

STREAMS = 200
DAWDLERS = 2_000
RATE = 100.0
DAWDLER_GAP_S = 1.0
SETTLE_S = 1.0

_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nx-padding: " + b"a" * 10_000


@asynccontextmanager
async def crowd(contender: Contender) -> AsyncIterator[None]:
    """200 streams that never end (read as they come), and 2,000 clients that send one byte of their head a second and
    come back when they are closed."""
    message = request(
        contender.path, "drip", port=contender.port, stream=True, key=contender.key, headers=contender.headers
    )
    tasks = [asyncio.create_task(_stream(contender.port, message, place)) for place in range(STREAMS)]
    tasks += [asyncio.create_task(_dawdle(contender.port, place)) for place in range(DAWDLERS)]
    try:
        await asyncio.sleep(DAWDLER_GAP_S + SETTLE_S)
        broken = [task for task in tasks if task.done()]
        if broken:
            raise RuntimeError(f"{len(broken)} of the crowd could not connect: {broken[0].exception()!r}")
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _stream(port: int, message: bytes, place: int) -> None:
    await asyncio.sleep(DRIP_S * place / STREAMS)  # begun together, all would get their chunks in one burst for ever
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(message)
        while await reader.read(65_536):
            pass
        raise RuntimeError("a stream of the crowd ended")
    finally:
        writer.close()


async def _dawdle(port: int, place: int) -> None:
    await asyncio.sleep(DAWDLER_GAP_S * place / DAWDLERS)
    while True:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            for position in range(len(_HEAD)):
                writer.write(_HEAD[position : position + 1])
                await writer.drain()
                await asyncio.sleep(DAWDLER_GAP_S)
        writer.close()


async def measure(contender: Contender, *, rounds: int, seconds: float) -> dict[str, float]:
    """p99 of plain calls at a fixed rate, in ms: alone and beside the crowd, in turn; the ratio of the medians."""
    message = request(
        contender.path, "plain", port=contender.port, stream=False, key=contender.key, headers=contender.headers
    )
    await open_loop(contender.port, message, rate=RATE, seconds=1.0)  # what is made once is made now
    alone, beside, failures = [], [], 0
    for _ in range(rounds):
        quiet = await open_loop(contender.port, message, rate=RATE, seconds=seconds)
        async with crowd(contender):
            crowded = await open_loop(contender.port, message, rate=RATE, seconds=seconds)
        alone.append(quiet.quantile_ms(0.99))
        beside.append(crowded.quantile_ms(0.99))
        failures += quiet.failures + crowded.failures
    p99_alone, p99_beside = statistics.median(alone), statistics.median(beside)
    return {
        "p99_alone_ms": p99_alone,
        "p99_beside_ms": p99_beside,
        "ratio": p99_beside / p99_alone,
        "failures": failures,
    }
