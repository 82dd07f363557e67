"""Which connection a call gets, and what happens when there is none: over real sockets on loopback."""

import asyncio
import errno
import resource
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import ManualClock
from tests.support.egress import open_client, pass_time, post, until
from tests.support.upstream import CHUNKED_HEAD, LOOPBACK_PEM, Do, chunk, response, running_upstream
from undercroft.clock import SystemClock
from undercroft.egress.client import Client, connection_failure
from undercroft.egress.guard import Guard
from undercroft.egress.http1 import request_head
from undercroft.egress.origin import Origin, parse_base_url
from undercroft.errors import AddressRefused, Unavailable, UpstreamTimedOut, UpstreamUnreachable
from undercroft.settings.model import Egress

Run = Callable[[Coroutine[Any, Any, None]], None]


def test_calls_one_after_another_share_a_connection(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            for _ in range(5):
                answer = await post(client, upstream)
                assert answer.status == 200
                assert b'"one two three' in await answer.body(10_000)
            assert len(upstream.peers) == 1
            assert upstream.requests[0].headers["x-test"] == "1"

    run(scenario())


def test_calls_at_once_have_a_connection_each_and_the_newest_is_used_again_first(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:

            async def call() -> None:
                await (await post(client, upstream)).body(10_000)

            await asyncio.gather(*(call() for _ in range(3)))
            assert len(upstream.peers) == 3
            for _ in range(4):
                await call()
            assert sorted(len(peer.requests) for peer in upstream.peers) == [1, 1, 5]

    run(scenario())


@pytest.mark.parametrize("model", ["closes-on-reuse", "resets-on-reuse"])
def test_a_call_lost_on_a_kept_connection_is_sent_once_more_on_a_new_one(run: Run, model: str) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            for _ in range(2):
                answer = await post(client, upstream, model)
                assert b"one two" in await answer.body(10_000)
            assert [len(peer.requests) for peer in upstream.peers] == [2, 1]

    run(scenario())


@pytest.mark.parametrize("fault", [Do.RESET, Do.CLOSE])
def test_a_call_lost_on_a_new_connection_is_not_sent_again(run: Run, fault: Do) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["lost"] = lambda request: [fault]
            with pytest.raises(UpstreamUnreachable, match="closed the connection before its answer"):
                await post(client, upstream, "lost")
            assert len(upstream.requests) == 1

    run(scenario())


def test_a_call_is_not_sent_again_once_a_byte_of_the_answer_was_seen(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            await (await post(client, upstream)).body(10_000)
            with pytest.raises(UpstreamUnreachable):
                await post(client, upstream, "reset-inside-head")
            assert len(upstream.requests) == 2

    run(scenario())


def test_a_call_is_sent_again_only_once(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            await (await post(client, upstream)).body(10_000)
            with pytest.raises(UpstreamUnreachable):
                await post(client, upstream, "reset-before-head")
            assert len(upstream.requests) == 3

    run(scenario())


def test_a_connection_the_upstream_closes_while_idle_is_forgotten(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            await (await post(client, upstream)).body(10_000)
            upstream.peers[0].close()
            await upstream.peers[0].closed.wait()
            await asyncio.sleep(0.01)
            await (await post(client, upstream)).body(10_000)
            assert [len(peer.requests) for peer in upstream.peers] == [1, 1]

    run(scenario())


def test_an_idle_connection_is_closed_after_its_time(run: Run) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with running_upstream() as upstream, open_client(clock, keep_alive_s=30) as client:
            await (await post(client, upstream)).body(10_000)
            await pass_time(clock, 29)
            assert not upstream.peers[0].closed.is_set()
            await pass_time(clock, 1)
            await until(upstream.peers[0].closed.is_set)

    run(scenario())


def test_connections_are_limited_and_calls_wait_their_turn(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client(max_connections=2) as client:
            done: list[int] = []

            async def call(number: int) -> None:
                await (await post(client, upstream)).body(10_000)
                done.append(number)

            await asyncio.gather(*(call(number) for number in range(10)))
            assert len(upstream.peers) == 2
            assert done == sorted(done)

    run(scenario())


def test_more_calls_than_may_wait_are_refused_at_once(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client(max_connections=1, max_waiting=1) as client:
            calls = [asyncio.create_task(post(client, upstream, "silent")) for _ in range(2)]
            await until(lambda: len(upstream.requests) == 1)
            with pytest.raises(Unavailable, match="1 calls wait") as caught:
                await post(client, upstream)
            assert caught.value.retry_after_s == 1
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    run(scenario())


def test_waiting_for_a_connection_has_an_end(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client(max_connections=1) as client:
            busy = asyncio.create_task(post(client, upstream, "silent"))
            await until(lambda: len(upstream.requests) == 1)
            with pytest.raises(Unavailable, match=r"No connection to .* became free within 0.05 s"):
                await post(client, upstream, first_byte_s=0.05)
            busy.cancel()
            await asyncio.gather(busy, return_exceptions=True)
            assert (await post(client, upstream)).status == 200

    run(scenario())


def test_a_waiting_caller_who_leaves_gives_the_turn_to_the_next(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client(max_connections=1) as client:
            upstream.answers["slow"] = lambda request: [CHUNKED_HEAD, 0.05, chunk(b"late"), chunk(b"")]
            first = await post(client, upstream, "slow")
            leaving = asyncio.create_task(post(client, upstream))
            staying = asyncio.create_task(post(client, upstream))
            await asyncio.sleep(0.01)
            leaving.cancel()
            assert await first.body(100) == b"late"
            assert (await staying).status == 200
            assert len(upstream.peers) == 1
            assert leaving.cancelled()

    run(scenario())


def test_a_cancelled_call_closes_its_connection(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            call = asyncio.create_task(post(client, upstream, "silent"))
            await until(lambda: len(upstream.requests) == 1)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            async with asyncio.timeout(0.1):
                await upstream.peers[0].closed.wait()
            assert upstream.peers[0].closed_by_client
            await until(lambda: upstream.running == 0)
            assert (await post(client, upstream)).status == 200

    run(scenario())


def test_a_call_cancelled_as_its_answer_arrives_harms_no_other(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client(max_connections=1) as client:
            for turns in range(40):
                call = asyncio.create_task(post(client, upstream))
                for _ in range(turns):
                    await asyncio.sleep(0.0002)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
                assert b"one two" in await (await post(client, upstream)).body(10_000)

    run(scenario())


def test_nobody_listening_is_unreachable_at_once(run: Run) -> None:
    async def scenario() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            origin = Origin("http", "127.0.0.1", unused.getsockname()[1])
            async with open_client() as client:
                with pytest.raises(UpstreamUnreachable, match="Connection refused"):
                    async with asyncio.timeout(1):
                        await client.send(origin, request_head("POST", "/", host="h", fields={}), b"")

    run(scenario())


def test_a_connection_that_does_not_come_about_is_given_up(run: Run) -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts, and never answers the TLS greeting
            origin = Origin("https", "127.0.0.1", mute.getsockname()[1])
            async with open_client(connect_timeout_s=0.1, max_connections=1) as client:
                for _ in range(2):  # the place of the first attempt is free again
                    with pytest.raises(UpstreamUnreachable, match=r"No connection to .* within 0.1 s"):
                        await client.send(origin, request_head("POST", "/", host="h", fields={}), b"")

    run(scenario())


def test_an_upstream_silent_before_its_answer_is_given_up(run: Run) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with running_upstream() as upstream, open_client(clock, first_byte_timeout_s=60) as client:
            call = asyncio.create_task(post(client, upstream, "silent"))
            await until(lambda: len(upstream.requests) == 1)
            await pass_time(clock, 59)
            assert not call.done()
            await pass_time(clock, 1)
            with pytest.raises(UpstreamTimedOut, match="silent for 60 s, before its answer"):
                await call
            await until(upstream.peers[0].closed.is_set)
            assert len(upstream.requests) == 1

    run(scenario())


def test_a_call_may_have_limits_of_its_own(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            with pytest.raises(UpstreamTimedOut, match=r"0\.1 s, before"):
                await post(client, upstream, "silent", first_byte_s=0.1)
            answer = await post(client, upstream, "stall-mid-stream", idle_s=0.1)
            with pytest.raises(UpstreamTimedOut, match=r"0\.1 s, in the middle of"):
                await answer.body(10_000)

    run(scenario())


def test_interim_answers_and_half_a_head_do_not_buy_time(run: Run) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with running_upstream() as upstream, open_client(clock, first_byte_timeout_s=10) as client:
            upstream.answers["drip"] = lambda request: [b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 ", Do.HANG]
            call = asyncio.create_task(post(client, upstream, "drip"))
            await until(lambda: upstream.running == 1)
            await asyncio.sleep(0.01)
            await pass_time(clock, 10)
            with pytest.raises(UpstreamTimedOut):
                await call

    run(scenario())


def test_closing_the_client_ends_every_call_and_refuses_new_ones(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client(max_connections=2) as client:
            calls = [asyncio.create_task(post(client, upstream, "silent")) for _ in range(3)]
            await until(lambda: len(upstream.requests) == 2)
            await client.close()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
            with pytest.raises(Unavailable, match="shutting down"):
                await post(client, upstream)

    run(scenario())


def test_running_out_of_file_descriptors_is_our_fault_and_passes(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                with pytest.raises(Unavailable, match="open files"):
                    await post(client, upstream)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert (await post(client, upstream)).status == 200

    run(scenario())


def test_tls_is_spoken_to_a_certificate_that_is_trusted(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream(tls=True) as upstream:
            async with open_client(ca_file=LOOPBACK_PEM) as client:
                for _ in range(2):
                    assert b"one two" in await (await post(client, upstream)).body(10_000)
                assert len(upstream.peers) == 1
            await until(upstream.peers[0].closed.is_set)

    run(scenario())


def test_a_certificate_that_is_not_trusted_gets_no_request(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream(tls=True) as upstream, open_client() as client:
            with pytest.raises(UpstreamUnreachable, match=r"certificate of .* is not to be trusted") as caught:
                await post(client, upstream)
            assert "ca_file" in str(caught.value)
            assert upstream.requests == []

    run(scenario())


def test_certificates_that_cannot_be_read_are_named(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_upstream(tls=True) as upstream, open_client(ca_file=tmp_path / "none.pem") as client:
            with pytest.raises(Unavailable, match=r"none\.pem cannot be read"):
                await post(client, upstream)

    run(scenario())


def test_an_upstream_may_be_a_unix_socket(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = str(tmp_path / "model.sock")
        async with running_upstream(unix_path=path) as upstream, open_client() as client:
            origin, _ = parse_base_url(f"unix:{path}")
            head = request_head("POST", "/v1/embeddings", host=str(origin), fields={})
            answer = await client.send(origin, head, b'{"model": "m", "input": "abc"}')
            assert b'"embedding"' in await answer.body(10_000)
            assert upstream.requests[0].headers["host"] == "localhost"

    run(scenario())


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_an_upstream_may_have_an_ipv6_address(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream(host="::1") as upstream, open_client() as client:
            assert (await post(client, upstream)).status == 200
            assert upstream.requests[0].headers["host"].startswith("[::1]:")

    run(scenario())


def test_a_name_that_is_not_found_is_unreachable() -> None:
    failure = connection_failure(socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "api.test", 3)
    assert isinstance(failure, UpstreamUnreachable)
    assert str(failure) == "No connection to api.test: Name or service not known."


def test_what_this_machine_lacks_is_not_blamed_on_the_provider() -> None:
    failure = connection_failure(OSError(errno.EMFILE, "Too many open files"), "api.test", 3)
    assert isinstance(failure, Unavailable)


def test_an_expired_certificate_is_named() -> None:
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_message = "certificate has expired"
    failure = connection_failure(error, "api.test", 3)
    assert "certificate has expired" in str(failure)


def test_a_large_request_arrives_whole(run: Run) -> None:
    async def scenario() -> None:
        async with running_upstream() as upstream, open_client() as client:
            upstream.answers["/v1/chat/completions"] = lambda request: [response(str(len(request.body)))]
            body = b"x" * 3_000_000
            assert await (await post(client, upstream, body=body)).body(100) == b"3000000"

    run(scenario())


def test_a_stall_of_this_process_is_not_taken_for_a_silent_upstream(run: Run) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with running_upstream() as upstream, open_client(clock, first_byte_timeout_s=60) as client:
            call = asyncio.create_task(post(client, upstream, "silent"))
            await until(lambda: len(upstream.requests) == 1)
            await pass_time(clock, 1)
            upstream.peers[0].transport.write(response("just in time"))
            clock.advance(1000)
            assert await (await call).body(100) == b"just in time"

    run(scenario())


async def raw_server(host: str, port: int, reached: list[str]) -> asyncio.Server:
    """Answers every request with an empty 204 and closes; notes which address was reached."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(host)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    return await asyncio.start_server(answer, host, port)


def test_a_guarded_client_connects_to_the_address_that_was_judged_and_not_to_the_name(run: Run) -> None:
    """The name server changes its mind between two look-ups; the machine that it names then is never reached."""

    async def scenario() -> None:
        reached: list[str] = []
        answers = [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]]

        async def flips(host: str, port: int) -> Sequence[str]:
            return answers.pop(0)

        allowed = await raw_server("127.0.0.2", 0, reached)
        port = allowed.sockets[0].getsockname()[1]
        forbidden = await raw_server("127.0.0.1", port, reached)
        client = Client(limits=Egress(), clock=SystemClock(), guard=Guard(allow=["127.0.0.2/32"], resolve=flips))
        origin = Origin("http", "hook.example", port)
        head = request_head("POST", "/", host=str(origin), fields={})
        try:
            answer = await client.send(origin, head, b"{}")
            assert answer.status == 204
            with pytest.raises(AddressRefused, match=r"hook\.example is at 127\.0\.0\.1"):
                await client.send(origin, head, b"{}")
        finally:
            await client.close()
            allowed.close()
            forbidden.close()
        assert reached == ["127.0.0.2"]
        assert len(answers) == 1, "one look-up for each connection"

    run(scenario())


def test_a_guarded_client_tries_the_next_address_of_a_name_and_refuses_sockets(run: Run) -> None:
    async def scenario() -> None:
        reached: list[str] = []

        async def two(host: str, port: int) -> Sequence[str]:
            return ["127.0.0.3", "127.0.0.2"]

        server = await raw_server("127.0.0.2", 0, reached)
        port = server.sockets[0].getsockname()[1]
        client = Client(limits=Egress(), clock=SystemClock(), guard=Guard(allow=["127.0.0.0/8"], resolve=two))
        origin = Origin("http", "hook.example", port)
        try:
            assert (await client.send(origin, request_head("GET", "/", host="h", fields={}), b"")).status == 204
            with pytest.raises(AddressRefused):
                await client.send(Origin("unix", "/tmp/x"), request_head("GET", "/", host="h", fields={}), b"")
        finally:
            await client.close()
            server.close()
        assert reached == ["127.0.0.2"]

    run(scenario())


def test_a_guarded_client_checks_the_certificate_against_the_name(run: Run) -> None:
    async def scenario() -> None:
        async def here(host: str, port: int) -> Sequence[str]:
            return ["127.0.0.1"]

        guard = Guard(allow=["127.0.0.0/8"], resolve=here)
        limits = Egress(ca_file=LOOPBACK_PEM)
        client = Client(limits=limits, clock=SystemClock(), guard=guard)
        try:
            async with running_upstream(tls=True) as upstream:
                port = parse_base_url(upstream.base_url)[0].port
                right, wrong = Origin("https", "localhost", port), Origin("https", "hook.example", port)
                head = request_head("POST", "/v1/chat/completions", host="x", fields={})
                assert (await client.send(right, head, b"{}")).status
                with pytest.raises(UpstreamUnreachable, match="certificate"):
                    await client.send(wrong, head, b"{}")
        finally:
            await client.close()

    run(scenario())
