"""Requests passed on for a taker: it gets the whole usual answer, and a response for everything else."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from tests.support.clock import ManualClock
from tests.support.egress import open_client, pass_time, post, until
from tests.support.upstream import CHUNKED_HEAD, Do, Upstream, chunk, response, running_upstream
from undercroft.egress.client import Client, Passage, TimeLimits
from undercroft.egress.connection import Connection, Stale
from undercroft.egress.http1 import request_head, whole_body_of
from undercroft.egress.origin import parse_base_url
from undercroft.egress.response import Response
from undercroft.errors import UpstreamTimedOut, UpstreamUnreachable

Run = Callable[[Coroutine[Any, Any, None]], None]


class Taker:
    """Takes whole answers, and reads a response otherwise."""

    def __init__(self) -> None:
        self.taken = b""
        self.response: Response | None = None
        self.connection: Connection | None = None

    def has_ended(self) -> bool:
        return bool(self.taken) or self.response is not None

    def take(self, connection: Connection, data: bytes) -> bool:
        start = whole_body_of(data)
        if start:
            self.taken = data[start:]
            connection.is_free()
            return True
        self.give_up(connection)
        return False

    def give_up(self, connection: Connection) -> None:
        assert self.response is None, "once"
        self.response = connection.response()


async def way(client: Client, upstream: Upstream) -> Passage:
    """To an upstream that there is a connection to."""
    await (await post(client, upstream)).body(10_000)
    origin, path = parse_base_url(upstream.base_url)
    head = request_head("POST", f"{path}/chat/completions", host=str(origin), fields={"x-test": "2"})
    passage = client.passage(origin, head)
    assert passage is not None
    return passage


def body_for(model: str) -> bytes:
    return msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "hi"}]})


def test_before_there_is_a_connection_there_is_no_way(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            origin, _ = parse_base_url(upstream.base_url)
            assert client.passage(origin, b"") is None
            assert client.within(TimeLimits(1, 1, 1)).passage(origin, b"") is None

    run(scenario())


def test_a_whole_answer_is_taken_and_its_connection_used_again(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            passage = await way(client.filling("2", lambda: "3").within(TimeLimits(1, 5, 6)), upstream)
            assert (passage.first_byte_s, passage.idle_s) == (5, 6)
            for number in range(3):
                taker = Taker()
                trace = f"00-{number + 1:032x}-{number + 1:016x}-01"
                passage.send(body_for("test"), trace, taker)
                await until(taker.has_ended)
                assert b'"one two three' in taker.taken
                assert taker.response is None
                assert upstream.requests[-1].headers["traceparent"] == trace
                assert upstream.requests[-1].headers["x-test"] == "3"
            assert len(upstream.peers) == 1

    run(scenario())


def test_what_comes_in_pieces_is_read_as_a_response(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["halves"] = lambda _: [response(b"hello")[:30], 0.02, response(b"hello")[30:]]
            upstream.answers["chunks"] = lambda _: [CHUNKED_HEAD, chunk(b"hello"), chunk(b"")]
            passage = await way(client, upstream)
            for model in ("halves", "chunks"):
                taker = Taker()
                passage.send(body_for(model), "", taker)
                await until(taker.has_ended)
                assert taker.response is not None
                assert await taker.response.body(100) == b"hello"
                assert passage.pool.has_idle
            assert len(upstream.peers) == 1

    run(scenario())


@pytest.mark.parametrize("ends", [Do.CLOSE, Do.RESET])
def test_a_connection_that_is_lost_gives_a_response_that_says_so(run: Run, ends: Do) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["lost"] = lambda _: [ends]
            taker = Taker()
            (await way(client, upstream)).send(body_for("lost"), "", taker)
            await until(lambda: taker.response is not None and taker.response.is_over)
            assert taker.response is not None
            assert isinstance(taker.response.failure, Stale), "it had been used: the call may be sent once more"

    run(scenario())


def test_what_may_have_reached_its_goal_is_not_sent_once_more(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["silent"] = lambda _: [Do.HANG]
            taker = Taker()
            connection = (await way(client, upstream)).send(body_for("silent"), "", taker)
            connection._transport.abort()
            connection.connection_lost(TimeoutError("the network is gone"))
            assert taker.response is not None
            failure = taker.response.failure
            assert isinstance(failure, UpstreamUnreachable)
            assert not isinstance(failure, Stale)

    run(scenario())


def test_a_connection_that_was_closed_meanwhile_is_over_at_once(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            passage = await way(client, upstream)
            connection = passage.pool.take()
            assert connection is not None
            connection._transport.abort()
            passage.pool.released(connection)
            taker = Taker()
            passage.send(body_for("test"), "", taker)
            assert taker.response is not None
            assert taker.response.is_over
            await asyncio.sleep(0)

    run(scenario())


def test_silence_ends_in_a_response_that_timed_out() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with running_upstream() as upstream, open_client(clock, first_byte_timeout_s=3) as client:
            upstream.answers["silent"] = lambda _: [60.0]
            passage = await way(client, upstream)
            taker = Taker()
            passage.send(body_for("silent"), "", taker)
            await pass_time(clock, 5)
            assert taker.response is not None
            assert isinstance(taker.response.failure, UpstreamTimedOut)

    asyncio.run(scenario())


def test_a_client_that_closes_tells_who_waits() -> None:
    async def scenario() -> None:
        taker = Taker()
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["silent"] = lambda _: [60.0]
            (await way(client, upstream)).send(body_for("silent"), "", taker)
            await client.close("over")
            assert taker.response is not None
            assert taker.response.failure is not None
            assert not isinstance(taker.response.failure, UpstreamUnreachable)

    asyncio.run(scenario())


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_aborted = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    def get_write_buffer_size(self) -> int:
        return 0


def connected() -> tuple[Connection, Wire]:
    wire = Wire()
    connection = Connection(name="upstream", keep_alive_s=30, loop=asyncio.get_running_loop())
    connection.connection_made(wire)
    return connection, wire


def test_a_request_goes_out_at_the_end_of_its_turn(run: Run) -> None:
    async def scenario() -> None:
        connection, wire = connected()
        connection.pass_on(b"request", Taker(), first_byte_s=1, idle_s=1)
        assert wire.written == []
        await asyncio.sleep(0)
        assert wire.written == [b"request"]

    run(scenario())


def test_what_comes_before_a_request_went_out_is_not_its_answer(run: Run) -> None:
    """An upstream that speaks unasked: taken for the answer, it would shift all that follow by one."""

    async def scenario() -> None:
        connection, wire = connected()
        taker = Taker()
        connection.pass_on(b"request", taker, first_byte_s=1, idle_s=1)
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        assert wire.is_aborted
        await asyncio.sleep(0)
        assert wire.written == []
        assert not taker.has_ended()
        connection.connection_lost(None)  # as the loop says next
        assert taker.taken == b""
        assert taker.response is not None
        assert taker.response.is_over

    run(scenario())


def test_a_burst_of_chunks_keeps_no_request_waiting(run: Run) -> None:
    async def scenario() -> None:
        connection, wire = connected()
        connection.pass_on(b"request", Taker(), first_byte_s=1, idle_s=1)
        streaming, _ = connected()
        streaming.send((b"another", b""), first_byte_s=1, idle_s=1)
        streaming.data_received(CHUNKED_HEAD + chunk(b"x"))
        assert wire.written == [b"request"]

    run(scenario())


def test_a_request_whose_caller_leaves_in_the_same_turn_is_not_sent(run: Run) -> None:
    async def scenario() -> None:
        connection, wire = connected()
        connection.pass_on(b"request", Taker(), first_byte_s=1, idle_s=1)
        connection.abort()
        await asyncio.sleep(0)
        assert wire.written == []

    run(scenario())
