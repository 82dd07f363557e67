"""How an answer is read, left and broken off: over real sockets on loopback."""

import asyncio
from collections.abc import Callable, Coroutine
from itertools import repeat
from typing import Any

import pytest

from tests.support.clock import ManualClock
from tests.support.egress import open_client, pass_time, post, read_all, until
from tests.support.upstream import CHUNKED_HEAD, DONE, STREAM_HEAD, Do, Step, chunk, response, running_upstream
from undercroft.egress.client import TimeLimits
from undercroft.errors import UpstreamGarbled, UpstreamTimedOut, UpstreamUnreachable

Run = Callable[[Coroutine[Any, Any, None]], None]

OK = b"HTTP/1.1 200 OK\r\n"
BODIES: dict[str, list[Step]] = {
    "sized": [response("hello")],
    "sized in two": [OK + b"content-length: 5\r\n\r\nhe", 0.01, b"llo"],
    "chunked": [CHUNKED_HEAD, chunk(b"he"), 0.01, chunk(b"llo"), chunk(b"")],
    "chunked with all that is allowed": [CHUNKED_HEAD + b"5;a=b\r\nhello\r\n0;c\r\nx-trailer: 1\r\n\r\n"],
    "until close": [OK + b"\r\nhe", 0.01, b"llo", Do.CLOSE],
    "HTTP/1.0": [b"HTTP/1.0 200 OK\r\n\r\nhello", Do.CLOSE],
    "after interim answers": [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\n" + response("hello")
    ],
    "byte by byte": [response("hello")[at : at + 1] for at in range(len(response("hello")))],
}


@pytest.mark.parametrize("name", BODIES)
def test_every_kind_of_body_is_read_whole_and_in_pieces(run: Run, name: str) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["body"] = lambda request: BODIES[name]
            assert await (await post(client, upstream, "body")).body(5) == b"hello"
            assert b"".join(await read_all(await post(client, upstream, "body"))) == b"hello"
            closes = name in ("until close", "HTTP/1.0")
            assert len(upstream.peers) == (2 if closes else 1)

    run(scenario())


def test_an_answer_without_a_body_keeps_the_connection(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["empty"] = lambda request: [b"HTTP/1.1 204 No Content\r\n\r\n"]
            for _ in range(2):
                answer = await post(client, upstream, "empty")
                assert (answer.status, await answer.read()) == (204, b"")
            assert len(upstream.peers) == 1

    run(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        b"220 smtp.example.com ESMTP\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        b"HTTP/1.1 200 OK\n\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        OK + b"content-length: many\r\n\r\nhello",
        OK + b"x: " + b"a" * 70_000,
        OK + b"x: " + b"a" * 70_000 + b"\r\n\r\n",
    ],
)
def test_a_head_that_cannot_be_trusted_is_garbled_and_its_connection_dropped(run: Run, answer: bytes) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["garbled"] = lambda request: [answer, Do.HANG]
            with pytest.raises(UpstreamGarbled):
                await post(client, upstream, "garbled")
            await until(upstream.peers[0].closed.is_set)
            assert upstream.peers[0].closed_by_client

    run(scenario())


def test_a_broken_chunk_is_garbled_after_what_was_whole(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["garbled"] = lambda request: [CHUNKED_HEAD, chunk(b"good"), 0.01, b"no size\r\n", Do.HANG]
            answer = await post(client, upstream, "garbled")
            assert await answer.read() == b"good"
            with pytest.raises(UpstreamGarbled, match="chunk"):
                await read_all(answer)
            await until(upstream.peers[0].closed.is_set)

    run(scenario())


@pytest.mark.parametrize("fault", [Do.RESET, Do.CLOSE])
@pytest.mark.parametrize("head", [CHUNKED_HEAD + b"64\r\n", OK + b"content-length: 100\r\n\r\n"])
def test_an_answer_cut_in_the_middle_does_not_end_cleanly(run: Run, head: bytes, fault: Do) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["cut"] = lambda request: [head + b"half", 0.01, fault]
            answer = await post(client, upstream, "cut")
            assert await answer.read() == b"half"
            for _ in range(2):
                with pytest.raises(UpstreamUnreachable, match="in the middle of its answer"):
                    await answer.read()
            with pytest.raises(UpstreamUnreachable):
                await (await post(client, upstream, "cut")).body(1000)

    run(scenario())


def test_an_answer_that_lasts_until_close_may_not_be_reset(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["cut"] = lambda request: [OK + b"\r\nhalf", 0.01, Do.RESET]
            with pytest.raises(UpstreamUnreachable):
                await (await post(client, upstream, "cut")).body(1000)

    run(scenario())


def test_pieces_come_one_for_each_read_of_the_socket(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["pieces"] = lambda request: [
                STREAM_HEAD,
                *(step for number in range(20) for step in (0.002, chunk(b"%d" % number))),
                chunk(b""),
            ]
            pieces = await read_all(await post(client, upstream, "pieces"))
            assert pieces == [b"%d" % number for number in range(20)]

    run(scenario())


def test_what_came_while_the_reader_was_busy_comes_at_once(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["pieces"] = lambda request: [STREAM_HEAD, *(chunk(b"x") for _ in range(20)), chunk(b"")]
            answer = await post(client, upstream, "pieces")
            await until(lambda: upstream.running == 0)
            await asyncio.sleep(0.01)
            assert await answer.read() == b"x" * 20
            assert await answer.read() == b""

    run(scenario())


def test_a_slow_reader_makes_the_upstream_wait_and_loses_nothing(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            piece = chunk(b"x" * 50_000)
            upstream.answers["flood"] = lambda request: [STREAM_HEAD, *repeat(piece, 600), chunk(b"")]
            answer = await post(client, upstream, "flood")
            sent = -1
            while upstream.peers[0].sent_bytes != sent:
                sent = upstream.peers[0].sent_bytes
                await asyncio.sleep(0.1)
            assert sent < 20_000_000, "the sockets' own buffers hold a few megabytes, the client next to nothing"
            assert len(await answer.read()) < 400_000
            rest = await read_all(answer)
            assert sum(map(len, rest)) > 29_000_000
            assert max(map(len, rest)) < 400_000
            assert upstream.running == 0
            assert (await post(client, upstream)).status == 200
            assert len(upstream.peers) == 1

    run(scenario())


def test_a_whole_body_wanted_after_a_pause_is_read_to_its_end(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["large"] = lambda request: [response(b"x" * 5_000_000)]
            answer = await post(client, upstream, "large")
            await asyncio.sleep(0.05)
            assert len(await answer.body(5_000_000)) == 5_000_000

    run(scenario())


def test_a_slow_reader_is_not_taken_for_a_silent_upstream(run: Run) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with running_upstream() as upstream, open_client(clock, idle_timeout_s=10) as client:
            upstream.answers["flood"] = lambda request: [STREAM_HEAD, *repeat(chunk(b"x" * 50_000), 100), chunk(b"")]
            answer = await post(client, upstream, "flood")
            await asyncio.sleep(0.05)
            await pass_time(clock, 1000)
            assert sum(map(len, await read_all(answer))) == 5_000_000

    run(scenario())


def test_an_upstream_that_falls_silent_inside_its_answer_is_given_up(run: Run) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with running_upstream() as upstream, open_client(clock, idle_timeout_s=15) as client:
            answer = await post(client, upstream, "stall-mid-stream")
            reader = asyncio.create_task(read_all(answer))
            await asyncio.sleep(0.05)
            await pass_time(clock, 14)
            assert not reader.done()
            await pass_time(clock, 1)
            with pytest.raises(UpstreamTimedOut, match="silent for 15 s, in the middle of its answer"):
                await reader
            await until(upstream.peers[0].closed.is_set)

    run(scenario())


def test_every_piece_gives_the_upstream_new_time(run: Run) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with running_upstream() as upstream, open_client(clock, idle_timeout_s=15) as client:
            upstream.answers["steady"] = lambda request: [STREAM_HEAD, *(chunk(b"x") for _ in range(4)), Do.HANG]
            answer = await post(client, upstream, "steady")
            for _ in range(4):
                assert await answer.read()
                await pass_time(clock, 14)
                upstream.peers[0].transport.write(chunk(b"y"))
                await asyncio.sleep(0.01)
            assert not upstream.peers[0].closed.is_set()
            answer.close()

    run(scenario())


def test_an_upstream_that_drips_bytes_of_no_event_is_as_silent_as_one_that_sends_none(run: Run) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with running_upstream() as upstream, open_client(clock, idle_timeout_s=15) as client:
            answer = await post(client, upstream, "stall-mid-stream")

            async def read_nothing_from_it() -> None:
                while await answer.read():
                    answer.said_nothing()

            reader = asyncio.create_task(read_nothing_from_it())
            await asyncio.sleep(0.05)
            for _ in range(3):
                await pass_time(clock, 4)
                upstream.peers[0].transport.write(chunk(b":"))
                await asyncio.sleep(0.02)
                assert not reader.done()
            await pass_time(clock, 4)
            with pytest.raises(UpstreamTimedOut, match="silent for 15 s, in the middle of its answer"):
                await reader

    run(scenario())


def test_a_models_own_limits_hold_on_connections_that_all_share(run: Run) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with running_upstream() as upstream, open_client(clock, idle_timeout_s=60) as client:
            hasty = client.within(TimeLimits(connect_s=1, first_byte_s=5, idle_s=2))
            await (await post(client, upstream)).body(10_000)
            answer = await post(hasty, upstream, "stall-mid-stream")
            reader = asyncio.create_task(read_all(answer))
            await asyncio.sleep(0.05)
            await pass_time(clock, 2)
            with pytest.raises(UpstreamTimedOut, match="silent for 2 s, in the middle of its answer"):
                await reader
            assert len(upstream.peers) == 1

    run(scenario())


def test_a_reader_who_leaves_closes_the_upstream_at_once(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            answer = await post(client, upstream, "stall-mid-stream")
            await answer.read()
            answer.close()
            answer.close()
            async with asyncio.timeout(0.1):
                await upstream.peers[0].closed.wait()
            assert upstream.peers[0].closed_by_client
            await post(client, upstream)
            assert len(upstream.peers) == 2

    run(scenario())


@pytest.mark.parametrize("whole", [True, False])
def test_a_cancelled_reader_closes_the_upstream_at_once(run: Run, whole: bool) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            answer = await post(client, upstream, "stall-mid-stream")
            reader = asyncio.create_task(answer.body(10_000) if whole else read_all(answer))
            await asyncio.sleep(0.02)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            async with asyncio.timeout(0.1):
                await upstream.peers[0].closed.wait()

    run(scenario())


def test_an_answer_closed_while_another_task_reads_it_wakes_that_task(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            answer = await post(client, upstream, "stall-mid-stream")
            reader = asyncio.create_task(read_all(answer))
            await asyncio.sleep(0.02)
            answer.close()
            async with asyncio.timeout(1):
                await reader

    run(scenario())


def test_a_body_larger_than_wanted_is_garbled_and_cut_off(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["large"] = lambda request: [STREAM_HEAD, *repeat(chunk(b"x" * 1000), 100), Do.HANG]
            with pytest.raises(UpstreamGarbled, match="larger than 50000 bytes"):
                await (await post(client, upstream, "large")).body(50_000)
            await until(upstream.peers[0].closed.is_set)

    run(scenario())


def test_an_answer_that_is_discarded_gives_its_connection_back_when_it_ends_soon(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["done"] = lambda request: [STREAM_HEAD, chunk(b"all"), 0.02, DONE]
            answer = await post(client, upstream, "done")
            assert await answer.read() == b"all"
            answer.discard()
            answer.close()
            await asyncio.sleep(0.05)
            await post(client, upstream)
            assert len(upstream.peers) == 1

    run(scenario())


def test_an_answer_that_is_discarded_and_does_not_end_is_cut_off(run: Run) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with running_upstream() as upstream, open_client(clock) as client:
            answer = await post(client, upstream, "never-closes")
            await answer.read()
            answer.discard()
            await pass_time(clock, 1)
            await until(upstream.peers[0].closed.is_set)
            assert upstream.peers[0].closed_by_client

    run(scenario())


def test_an_answer_that_is_discarded_and_goes_on_at_length_is_cut_off(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["flood"] = lambda request: [STREAM_HEAD, *repeat(chunk(b"x" * 50_000), 1000), Do.HANG]
            answer = await post(client, upstream, "flood")
            await answer.read()
            answer.discard()
            await until(upstream.peers[0].closed.is_set)

    run(scenario())


@pytest.mark.parametrize("extra", [b"x", response("another answer")])
def test_bytes_nobody_asked_for_spoil_the_connection(run: Run, extra: bytes) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["generous"] = lambda request: [response("hello") + extra]
            upstream.answers["late"] = lambda request: [response("hello"), 0.02, extra]
            for model in ("generous", "late"):
                assert await (await post(client, upstream, model)).body(100) == b"hello"
                await until(upstream.peers[-1].closed.is_set)
                assert await (await post(client, upstream)).body(10_000) != b"another answer"

    run(scenario())


def test_an_answer_before_the_request_was_sent_is_read_and_its_connection_not_used_again(run: Run) -> None:
    async def scenario() -> None:
        over = asyncio.Event()
        accepted: list[asyncio.StreamWriter] = []

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.append(writer)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(response("too large", status="413 Content Too Large"))
            await over.wait()
            writer.transport.abort()

        async with running_upstream() as upstream, open_client() as client:
            server = await asyncio.start_server(refuse, "127.0.0.1", 0)
            async with server:
                upstream.origin_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
                for _ in range(2):
                    answer = await post(client, upstream, body=b"x" * 30_000_000)
                    assert (answer.status, await answer.body(100)) == (413, b"too large")
                assert len(accepted) == 2
                over.set()
                await until(lambda: all(writer.transport.is_closing() for writer in accepted))
                await asyncio.sleep(0.01)

    run(scenario())
