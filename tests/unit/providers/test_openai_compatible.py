"""What becomes of a provider's faults, each injected over a socket on loopback."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.clock import ManualClock
from tests.support.egress import open_client, until
from tests.support.upstream import (
    DONE,
    STREAM_HEAD,
    Do,
    Step,
    Upstream,
    chunk,
    delta,
    error_response,
    event,
    response,
    running_upstream,
    usage,
)
from undercroft.egress.client import Client
from undercroft.errors import (
    ConfigurationError,
    UpstreamError,
    UpstreamGarbled,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from undercroft.llm.types import ChatRequest, Chunk, CompletionRequest, EmbeddingsRequest, Message, Sampling, Source
from undercroft.providers.openai_compatible import OpenAICompatible
from undercroft.record import Usage


@dataclass
class Bench:
    """An upstream and a client for it."""

    upstream: Upstream
    client: Client

    def provider(self, model: str = "test", *, api_key: str | None = "sk-1") -> OpenAICompatible:
        return OpenAICompatible(
            "fake",
            base_url=self.upstream.base_url,
            api_key=api_key,
            model=model,
            client=self.client,
            clock=ManualClock(),
        )


@asynccontextmanager
async def bench(**limits: Any) -> AsyncGenerator[Bench, None]:
    async with running_upstream() as upstream, open_client(**limits) as client:
        yield Bench(upstream, client)


def asked(*, stream: bool = True, n: int = 1, source: bytes | None = None) -> ChatRequest:
    return ChatRequest(
        model="public",
        messages=(Message(role="user", content="hi"),),
        stream=stream,
        sampling=Sampling(n=n),
        source=None if source is None else Source("openai.chat", source),
    )


async def chunks_of(provider: OpenAICompatible, request: ChatRequest) -> list[Chunk]:
    reply = await provider.send(request)
    async with aclosing(reply.chunks) as chunks:
        return [chunk async for chunk in chunks]


async def texts_until_it_breaks(provider: OpenAICompatible) -> tuple[list[str], UpstreamError]:
    """What was passed on of a stream, and the error it broke with."""
    texts: list[str] = []
    reply = await provider.send(asked())
    try:
        async with aclosing(reply.chunks) as chunks:
            async for piece in chunks:
                texts.append(piece.text())  # noqa: PERF401  # a comprehension would lose what came before the error
    except UpstreamError as error:
        return texts, error
    raise AssertionError(f"the stream ended cleanly after {texts}")


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_the_request_carries_key_model_and_the_callers_own_fields() -> None:
    async def scenario() -> None:
        async with bench() as given:
            source = b'{"model": "public", "messages": [{"role": "user", "content": "hi"}], "unheard_of": [1]}'
            await given.provider("theirs").send(asked(stream=False, source=source))
            (request,) = given.upstream.requests
            assert request.path == "/v1/chat/completions"
            assert request.headers["authorization"] == "Bearer sk-1"
            assert request.headers["content-type"] == "application/json"
            assert request.headers["accept-encoding"] == "identity"
            assert request.json["model"] == "theirs"
            assert request.json["unheard_of"] == [1]

    asyncio.run(scenario())


def test_without_a_key_no_credential_is_sent() -> None:
    async def scenario() -> None:
        async with bench() as given:
            await given.provider(api_key=None).send(asked(stream=False))
            assert "authorization" not in given.upstream.requests[0].headers

    asyncio.run(scenario())


def test_a_stream_is_asked_for_its_usage() -> None:
    async def scenario() -> None:
        async with bench() as given:
            chunks = await chunks_of(given.provider(), asked())
            assert given.upstream.requests[0].json["stream_options"] == {"include_usage": True}
            assert chunks[-1].usage == Usage(input=7, output=10)

    asyncio.run(scenario())


def test_a_key_with_a_line_break_is_refused_before_anything_is_sent() -> None:
    async def scenario() -> None:
        async with bench() as given:
            with pytest.raises(ConfigurationError):
                given.provider(api_key="sk-1\r\nx: y")

    asyncio.run(scenario())


def test_a_redirect_is_not_followed() -> None:
    async def scenario() -> None:
        async with bench() as given:
            with pytest.raises(UpstreamGarbled, match=r"status 302.*base_url"):
                await given.provider("redirect").send(asked())
            assert len(given.upstream.requests) == 1

    asyncio.run(scenario())


# --- streams ----------------------------------------------------------------------------------------------------------


def test_each_event_is_one_chunk_with_the_bytes_it_came_in() -> None:
    async def scenario() -> None:
        async with bench() as given:
            events = [delta(role="assistant"), delta("Hello"), delta("", finish_reason="stop")]
            one_read = b"".join(event(payload) for payload in events)
            given.upstream.answers["burst"] = lambda request: [STREAM_HEAD, one_read, DONE]
            chunks = await chunks_of(given.provider("burst"), asked())
            assert [piece.source for piece in chunks] == [
                b'{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"fake-1","choices":'
                b'[{"index":0,"delta":%b,"finish_reason":%b}]}' % said
                for said in [(b'{"role":"assistant"}', b"null"), (b'{"content":"Hello"}', b"null"), (b"{}", b'"stop"')]
            ]

    asyncio.run(scenario())


def test_a_stream_is_passed_on_as_it_comes() -> None:
    async def scenario() -> None:
        async with bench() as given:
            given.upstream.answers["halting"] = lambda request: [STREAM_HEAD, event(delta("one")), Do.HANG]
            reply = await given.provider("halting").send(asked())
            async with aclosing(reply.chunks) as chunks:
                assert (await anext(chunks)).text() == "one"

    asyncio.run(scenario())


def test_a_finished_stream_gives_its_connection_back() -> None:
    async def scenario() -> None:
        async with bench() as given:
            for _ in range(3):
                await chunks_of(given.provider(), asked())
                await asyncio.sleep(0.01)
            assert len(given.upstream.peers) == 1

    asyncio.run(scenario())


def test_nothing_is_read_beyond_done() -> None:
    async def scenario() -> None:
        async with bench() as given:
            chunks = await chunks_of(given.provider("never-closes"), asked())
            assert [piece.text() for piece in chunks] == ["one", " two", ""]

    asyncio.run(scenario())


@pytest.mark.parametrize("model", ["no-done", "close-after-finish"])
def test_a_stream_without_done_is_complete_when_every_choice_has_ended(model: str) -> None:
    async def scenario() -> None:
        async with bench() as given:
            chunks = await chunks_of(given.provider(model), asked())
            assert chunks[-1].choices[0].finish_reason == "stop"

    asyncio.run(scenario())


@pytest.mark.parametrize("last", [chunk(b""), Do.CLOSE, Do.RESET])
def test_a_stream_without_done_is_cut_when_a_choice_never_began(last: Step) -> None:
    async def scenario() -> None:
        async with bench() as given:
            begun = [event(delta("yes", index=0)), event(delta(index=0, finish_reason="stop"))]
            given.upstream.answers["half"] = lambda request: [STREAM_HEAD, *begun, 0.01, last]
            with pytest.raises((UpstreamGarbled, UpstreamUnreachable)):
                await chunks_of(given.provider("half"), asked(n=2))

    asyncio.run(scenario())


def test_silence_after_the_last_choice_ends_the_stream_cleanly() -> None:
    async def scenario() -> None:
        async with bench(idle_timeout_s=0.1) as given:
            finished = [event(delta("yes")), event(delta(finish_reason="stop"))]
            given.upstream.answers["lingers"] = lambda request: [STREAM_HEAD, *finished, Do.HANG]
            assert len(await chunks_of(given.provider("lingers"), asked())) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("reset-mid-stream", UpstreamUnreachable),
        ("close-mid-stream", UpstreamUnreachable),
        ("cut-stream", UpstreamGarbled),
        ("done-too-early", UpstreamGarbled),
        ("error-frame", UpstreamOverloaded),
    ],
)
def test_a_broken_stream_never_ends_cleanly(model: str, kind: type[UpstreamError]) -> None:
    async def scenario() -> None:
        async with bench() as given:
            texts, error = await texts_until_it_breaks(given.provider(model))
            assert texts == ["one", " two"]
            assert type(error) is kind

    asyncio.run(scenario())


@pytest.mark.parametrize("fault", [Do.RESET, Do.CLOSE, chunk(b"")])
@pytest.mark.parametrize("whole_events", range(5))
def test_a_stream_cut_after_any_event_never_ends_cleanly(whole_events: int, fault: Step) -> None:
    async def scenario() -> None:
        async with bench() as given:
            events: list[Step] = [event(delta(word)) for word in ("a", "b", "c", "d")]
            given.upstream.answers["cut"] = lambda request: [STREAM_HEAD, *events[:whole_events], 0.01, fault]
            with pytest.raises((UpstreamGarbled, UpstreamUnreachable)):
                await chunks_of(given.provider("cut"), asked())

    asyncio.run(scenario())


def test_an_error_after_the_last_choice_is_raised_and_the_usage_before_it_passed_on() -> None:
    async def scenario() -> None:
        async with bench() as given:
            texts, error = await texts_until_it_breaks(given.provider("trailing-error"))
            assert texts == ["one", " two", ""]
            assert isinstance(error, UpstreamOverloaded)
            assert "the model fell over" in error.message

    asyncio.run(scenario())


def test_an_error_in_the_first_event_is_raised_while_another_try_is_possible() -> None:
    async def scenario() -> None:
        async with bench() as given:
            with pytest.raises(UpstreamOverloaded):
                await given.provider("error-first").send(asked())

    asyncio.run(scenario())


@pytest.mark.parametrize("model", ["reset-before-head", "close-before-head", "reset-inside-head"])
def test_an_upstream_lost_before_its_answer_is_unreachable_while_another_try_is_possible(model: str) -> None:
    async def scenario() -> None:
        async with bench() as given:
            with pytest.raises(UpstreamUnreachable):
                await given.provider(model).send(asked())

    asyncio.run(scenario())


def test_a_reset_before_the_first_event_leaves_another_try_possible() -> None:
    async def scenario() -> None:
        async with bench() as given:
            given.upstream.answers["hollow"] = lambda request: [STREAM_HEAD, chunk(b": hello\n\n"), 0.01, Do.RESET]
            with pytest.raises(UpstreamUnreachable):
                await given.provider("hollow").send(asked())

    asyncio.run(scenario())


def test_silence_in_the_middle_of_a_stream_is_a_time_out() -> None:
    async def scenario() -> None:
        async with bench(idle_timeout_s=0.1) as given:
            texts, error = await texts_until_it_breaks(given.provider("stall-mid-stream"))
            assert texts == ["one", " two"]
            assert isinstance(error, UpstreamTimedOut)
            await until(given.upstream.peers[0].closed.is_set)

    asyncio.run(scenario())


def test_silence_before_the_answer_is_a_time_out_and_not_tried_again() -> None:
    async def scenario() -> None:
        async with bench(first_byte_timeout_s=0.1) as given:
            with pytest.raises(UpstreamTimedOut):
                await given.provider("silent").send(asked())
            assert len(given.upstream.requests) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("pieces_read", [0, 1, 2])
def test_a_caller_who_leaves_closes_the_upstream_at_once(pieces_read: int) -> None:
    async def scenario() -> None:
        async with bench() as given:
            reply = await given.provider("stall-mid-stream").send(asked())
            for _ in range(pieces_read):
                await anext(reply.chunks)
            await reply.chunks.aclose()
            async with asyncio.timeout(0.1):
                await given.upstream.peers[0].closed.wait()
            assert given.upstream.peers[0].closed_by_client
            with pytest.raises(StopAsyncIteration):
                await anext(reply.chunks)

    asyncio.run(scenario())


def test_a_caller_cancelled_inside_a_stream_closes_the_upstream_at_once() -> None:
    async def scenario() -> None:
        async with bench() as given:
            reading = asyncio.create_task(chunks_of(given.provider("stall-mid-stream"), asked()))
            await until(lambda: given.upstream.running == 1)
            await asyncio.sleep(0.05)
            reading.cancel()
            async with asyncio.timeout(0.1):
                await given.upstream.peers[0].closed.wait()
            await asyncio.gather(reading, return_exceptions=True)

    asyncio.run(scenario())


def test_an_error_thrown_into_a_stream_closes_the_upstream() -> None:
    async def scenario() -> None:
        async with bench() as given:
            reply = await given.provider("stall-mid-stream").send(asked())
            with pytest.raises(KeyError):
                await reply.chunks.athrow(KeyError("x"))
            await until(given.upstream.peers[0].closed.is_set)

    asyncio.run(scenario())


# --- what is not in the format ----------------------------------------------------------------------------------------

ODD_STREAMS: dict[str, list[Step]] = {
    "CRLF": [chunk(b'data: {"choices":[{"index":0,"delta":{"content":"ok"},"finish_reason":"stop"}]}\r\n\r\n'), DONE],
    "no blank after the colon": [
        chunk(b'data:{"choices":[{"delta":{"content":"ok"},"finish_reason":"stop"}]}\n\n'),
        DONE,
    ],
    "comments between": [chunk(b": ping\n\n"), event(delta("ok", finish_reason="stop")), chunk(b": ping\n\n"), DONE],
    "split inside a character": [
        chunk(b'data: {"choices":[{"delta":{"content":"\xc3'),
        0.01,
        chunk(b'\xb6k"},"finish_reason":"stop"}]}\n\n'),
        DONE,
    ],
    "byte by byte": [
        *(chunk(b"%c" % byte) for byte in b'data: {"choices":[{"delta":{"content":"ok"},"finish_reason":"stop"}]}\n\n'),
        DONE,
    ],
    "no empty line at the end": [
        chunk(b'data: {"choices":[{"delta":{"content":"ok"},"finish_reason":"stop"}]}'),
        chunk(b""),
    ],
    "usage beside an empty choice": [
        event(delta("ok", finish_reason="stop")),
        event({"choices": [{"index": 0, "delta": {}}], "usage": usage(1)}),
        DONE,
    ],
    "usage without choices": [event(delta("ok", finish_reason="stop")), event({"usage": usage(1)}), DONE],
}


@pytest.mark.parametrize("name", ODD_STREAMS)
def test_odd_but_whole_streams_are_read(name: str) -> None:
    async def scenario() -> None:
        async with bench() as given:
            given.upstream.answers["odd"] = lambda request: [STREAM_HEAD, *ODD_STREAMS[name]]
            chunks = await chunks_of(given.provider("odd"), asked())
            assert "".join(piece.text() for piece in chunks) in ("ok", "ök")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "payload", [b"data: {\n\n", b"data: hello\n\n", b"data: [1]\n\n", b'data: {"choices": 5}\n\n', b"data: \xff\n\n"]
)
def test_an_event_that_is_not_in_the_format_is_garbled(payload: bytes) -> None:
    async def scenario() -> None:
        async with bench() as given:
            given.upstream.answers["odd"] = lambda request: [STREAM_HEAD, chunk(payload), DONE]
            with pytest.raises(UpstreamGarbled):
                await chunks_of(given.provider("odd"), asked())
            await until(given.upstream.peers[0].closed.is_set)

    asyncio.run(scenario())


@pytest.mark.parametrize("stream", [True, False])
def test_a_web_page_is_not_an_answer(stream: bool) -> None:
    async def scenario() -> None:
        async with bench() as given:
            with pytest.raises(UpstreamGarbled, match="web page"):
                await given.provider("web-page").send(asked(stream=stream))

    asyncio.run(scenario())


def test_an_empty_answer_is_garbled() -> None:
    async def scenario() -> None:
        async with bench() as given:
            given.upstream.answers["empty"] = lambda request: [response(b"")]
            for stream in (True, False):
                with pytest.raises(UpstreamGarbled):
                    await given.provider("empty").send(asked(stream=stream))

    asyncio.run(scenario())


def test_a_whole_answer_to_a_stream_is_one_chunk() -> None:
    async def scenario() -> None:
        async with bench() as given:
            body = b' {"choices":[{"message":{"content":"all at once"},"finish_reason":"stop"}]}'
            given.upstream.answers["whole"] = lambda request: [response(body)]
            (piece,) = await chunks_of(given.provider("whole"), asked())
            assert (piece.text(), piece.whole) == ("all at once", True)

    asyncio.run(scenario())


def test_an_error_with_status_200_is_raised() -> None:
    async def scenario() -> None:
        async with bench() as given:
            given.upstream.answers["lying"] = lambda request: [response('{"error": {"message": "no", "code": 429}}')]
            for stream in (True, False):
                with pytest.raises(UpstreamOverloaded, match="no"):
                    await given.provider("lying").send(asked(stream=stream))

    asyncio.run(scenario())


def test_a_compressed_answer_is_garbled() -> None:
    async def scenario() -> None:
        async with bench() as given:
            given.upstream.answers["gzip"] = lambda request: [
                response(b"\x1f\x8b", fields="content-encoding: gzip\r\n")
            ]
            for stream in (True, False):
                with pytest.raises(UpstreamGarbled, match="compressed"):
                    await given.provider("gzip").send(asked(stream=stream))

    asyncio.run(scenario())


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_429_says_when_to_come_back(stream: bool) -> None:
    async def scenario() -> None:
        async with bench() as given:
            with pytest.raises(UpstreamOverloaded) as caught:
                await given.provider("rate-limited").send(asked(stream=stream))
            assert (caught.value.upstream_status, caught.value.retry_after_s) == (429, 7.0)

    asyncio.run(scenario())


def test_a_failing_provider_keeps_its_connection() -> None:
    async def scenario() -> None:
        async with bench() as given:
            for _ in range(2):
                with pytest.raises(UpstreamOverloaded, match="it broke"):
                    await given.provider("broken").send(asked())
            assert len(given.upstream.peers) == 1

    asyncio.run(scenario())


def test_a_key_the_provider_refuses_is_not_the_callers_fault() -> None:
    async def scenario() -> None:
        async with bench() as given:
            with pytest.raises(UpstreamRefused) as caught:
                await given.provider("bad-key").send(asked())
            assert (caught.value.status, caught.value.upstream_status) == (502, 401)

    asyncio.run(scenario())


def test_a_refusal_whose_words_are_cut_off_keeps_its_status() -> None:
    async def scenario() -> None:
        async with bench() as given:
            head = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 100\r\n\r\n"
            given.upstream.answers["cut"] = lambda request: [head + b'{"err', 0.01, Do.RESET]
            with pytest.raises(UpstreamRefused) as caught:
                await given.provider("cut").send(asked())
            assert caught.value.status == 400

    asyncio.run(scenario())


# --- completions and embeddings ---------------------------------------------------------------------------------------


def test_completions_are_streamed_to_the_end_of_every_prompt() -> None:
    async def scenario() -> None:
        async with bench() as given:
            request = CompletionRequest(model="public", prompts=("a", "b"), stream=True, sampling=Sampling(n=2))
            told = await (await given.provider().complete(request)).read()
            assert [choice.finish_reason for choice in told.choices] == ["stop"] * 4
            assert given.upstream.requests[0].path == "/v1/completions"

    asyncio.run(scenario())


def test_a_vector_that_is_missing_is_garbled() -> None:
    async def scenario() -> None:
        async with bench() as given:
            body = '{"object":"list","data":[{"index":0,"embedding":[1.0]}]}'
            given.upstream.answers["few"] = lambda request: [response(body)]
            with pytest.raises(UpstreamGarbled, match="1 vectors for 2 inputs"):
                await given.provider("few").embed(EmbeddingsRequest(model="public", inputs=("a", "b")))

    asyncio.run(scenario())


# --- how it is --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        response('{"object": "list", "data": []}'),
        error_response("404 Not Found", "no such route"),
        error_response("405 Method Not Allowed", "not here"),
        error_response("429 Too Many Requests", "slow down"),
    ],
)
def test_who_answers_is_well_even_without_a_list_of_models(answer: bytes) -> None:
    async def scenario() -> None:
        async with bench() as given:
            given.upstream.answers["/v1/models"] = lambda _: [answer]
            await given.provider().check()
            (request,) = given.upstream.requests
            assert (request.headers["authorization"], request.body) == ("Bearer sk-1", b"")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (error_response("503 Service Unavailable", "moving house"), UpstreamOverloaded),
        (error_response("401 Unauthorized", "no such key"), UpstreamRefused),
        (Do.RESET, UpstreamUnreachable),
    ],
)
def test_who_fails_or_does_not_take_the_key_is_not_well(step: Step, kind: type[UpstreamError]) -> None:
    async def scenario() -> None:
        async with bench() as given:
            given.upstream.answers["/v1/models"] = lambda _: [step]
            with pytest.raises(kind):
                await given.provider().check()

    asyncio.run(scenario())
