"""The load generator against servers that behave badly: what is due leaves, and what stalls is counted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from undercroft.planning.verification.load import Address, Arrival, Generator

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
Handler = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[Address]:
    """A server that reads a request and leaves the answer to `handler`, which learns the request's number."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                count += 1
                await handler(count, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


def every(seconds: float, count: int) -> list[Arrival]:
    return [Arrival(place * seconds, 0) for place in range(count)]


async def at_once(_: int, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


def test_every_request_that_is_due_is_answered_and_timed() -> None:
    async def go() -> None:
        async with answering(at_once) as address:
            generator = Generator(address, [REQUEST])
            outcome = await generator.open_loop(every(0.002, 100))
            generator.close()
        assert outcome.answers == 100
        assert outcome.failures == 0
        assert outcome.kinds == [0] * 100
        assert outcome.elapsed_s >= 0.198

    asyncio.run(go())


def test_a_server_that_stalls_is_charged_for_what_was_due_meanwhile() -> None:
    gate = asyncio.Event()

    async def stalls_once(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            asyncio.get_running_loop().call_later(0.5, gate.set)
        await gate.wait()
        writer.write(OK)

    async def go() -> None:
        async with answering(stalls_once) as address:
            generator = Generator(address, [REQUEST])
            outcome = await generator.open_loop(every(0.01, 60))
            generator.close()
        # A closed loop would have seen one slow answer. Here all that were due in the half second are late.
        assert sum(latency > 0.05 for latency in outcome.latencies_s) >= 40
        assert max(outcome.latencies_s) >= 0.49

    asyncio.run(go())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"",
    ],
)
def test_what_is_no_whole_answer_with_200_is_a_failure(answer: bytes) -> None:
    async def breaks(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        if not answer:
            writer.close()

    async def go() -> None:
        async with answering(breaks) as address:
            generator = Generator(address, [REQUEST])
            outcome = await generator.open_loop(every(0.001, 5))
            generator.close()
        assert (outcome.answers, outcome.failures) == (0, 5)

    asyncio.run(go())


def test_nobody_listening_is_a_failure_each() -> None:
    async def go() -> None:
        outcome = await Generator(Address("127.0.0.1", 9), [REQUEST]).open_loop(every(0.001, 3))
        assert (outcome.answers, outcome.failures) == (0, 3)

    asyncio.run(go())


def test_a_closed_loop_keeps_its_callers_busy() -> None:
    async def go() -> None:
        async with answering(at_once) as address:
            generator = Generator(address, [REQUEST])
            outcome = await generator.closed_loop([0], at_once=4, seconds=0.3)
            generator.close()
        assert outcome.answers > 20
        assert outcome.failures == 0

    asyncio.run(go())


def test_what_is_not_answered_in_the_end_is_a_failure() -> None:
    async def answers_the_first(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            writer.write(OK)

    async def go() -> None:
        async with answering(answers_the_first) as address:
            generator = Generator(address, [REQUEST], drain_s=0.5)
            outcome = await generator.open_loop(every(0.01, 4))
            generator.close()
        assert (outcome.answers, outcome.failures) == (1, 3)

    asyncio.run(go())
