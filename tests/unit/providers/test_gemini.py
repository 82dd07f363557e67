"""What becomes of Gemini's answers and faults, each over a socket on loopback."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from tests.support.clock import ManualClock
from tests.support.egress import open_client, until
from tests.support.gemini_upstream import KEY, GeminiUpstream
from tests.support.upstream import response, running_upstream
from undercroft.egress.client import Client
from undercroft.errors import (
    UpstreamError,
    UpstreamGarbled,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from undercroft.llm.types import ChatRequest, EmbeddingsRequest, Message, Sampling, Tool, ToolCall, ToolChoice
from undercroft.providers.gemini import Gemini
from undercroft.record import Usage


@dataclass
class Bench:
    """An upstream and a client for it."""

    upstream: GeminiUpstream
    client: Client

    def provider(self, model: str = "gemini-2.5-flash", *, api_key: str | None = KEY, **more: Any) -> Gemini:
        return Gemini(
            base_url=self.upstream.base_url,
            api_key=api_key,
            model=model,
            client=self.client,
            clock=ManualClock(),
            **more,
        )


@asynccontextmanager
async def bench(**limits: Any) -> AsyncGenerator[Bench, None]:
    upstream = GeminiUpstream()
    async with running_upstream(upstream=upstream), open_client(**limits) as client:
        yield Bench(upstream, client)


def asked(*, stream: bool = False, **fields: Any) -> ChatRequest:
    return ChatRequest(model="public", messages=(Message(role="user", content="hi"),), stream=stream, **fields)


async def texts_until_it_breaks(provider: Gemini) -> tuple[list[str], UpstreamError]:
    """What was passed on of a stream, and the error it broke with."""
    texts: list[str] = []
    reply = await provider.send(asked(stream=True))
    try:
        async with aclosing(reply.chunks) as chunks:
            async for chunk in chunks:
                texts.append(chunk.text())  # noqa: PERF401  # a comprehension would lose what came before the error
    except UpstreamError as error:
        return texts, error
    raise AssertionError(f"the stream ended cleanly after {texts}")


def test_the_key_goes_in_a_header_and_the_model_in_the_path() -> None:
    async def scenario() -> None:
        async with bench() as given:
            await given.provider(headers={"x-trace": "1"}).send(asked())
            await (await given.provider("models/gemini-2.5-pro").send(asked(stream=True))).read()
            first, second = given.upstream.requests
            assert first.path == "/v1beta/models/gemini-2.5-flash:generateContent"
            assert second.path == "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
            assert first.headers["x-goog-api-key"] == KEY
            assert first.headers["x-trace"] == "1"
            assert "authorization" not in first.headers

    asyncio.run(scenario())


def test_thoughts_come_apart_from_the_text_and_are_counted() -> None:
    async def scenario() -> None:
        async with bench() as given:
            for stream in (False, True):
                told = await (await given.provider().send(asked(stream=stream, reasoning_effort="low"))).read()
                assert told.choices[0].reasoning == "Let me see."
                assert told.text().startswith("one two")
                assert told.usage is not None
                assert told.usage.reasoning == 5
                assert told.model == "gemini-fake-1"

    asyncio.run(scenario())


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-pro"])
def test_a_tools_result_can_be_sent_back(model: str) -> None:
    tool = Tool(name="get_weather", parameters={"type": "object"})
    ask = Message(role="user", content="Weather?")

    async def scenario() -> None:
        async with bench() as given:
            provider = given.provider(model)
            first = ChatRequest(model="public", messages=(ask,), tools=(tool,), tool_choice=ToolChoice(mode="required"))
            (call,) = (await (await provider.send(first)).read()).choices[0].tool_calls
            assert call.id
            assert call.name
            said = Message(
                role="assistant", tool_calls=(ToolCall(id=call.id, name=call.name, arguments=call.arguments),)
            )
            result = Message(role="tool", tool_call_id=call.id, content='{"degrees": 21}')
            second = ChatRequest(model="public", messages=(ask, said, result), tools=(tool,))
            assert (await (await provider.send(second)).read()).text()

    asyncio.run(scenario())


def test_what_is_left_out_is_told() -> None:
    async def scenario() -> None:
        async with bench() as given:
            for stream in (False, True):
                reply = await given.provider(drop_unsupported=True).send(
                    asked(stream=stream, sampling=Sampling(logit_bias={"1": 1.0}))
                )
                assert reply.dropped == ("logit_bias",)
                await reply.read()

    asyncio.run(scenario())


@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_prompt_is_a_filtered_answer(stream: bool) -> None:
    async def scenario() -> None:
        async with bench() as given:
            told = await (await given.provider("blocked-prompt").send(asked(stream=stream))).read()
            assert (told.text(), told.choices[0].finish_reason) == ("", "content_filter")
            assert told.usage == Usage(input=7)
            unsafe = await (await given.provider("unsafe").send(asked(stream=stream))).read()
            assert unsafe.choices[0].finish_reason == "content_filter"

    asyncio.run(scenario())


def test_usage_that_comes_after_the_end_is_told() -> None:
    async def scenario() -> None:
        async with bench() as given:
            told = await (await given.provider("usage-after-the-end").send(asked(stream=True))).read()
            assert (told.text(), told.usage) == ("one two", Usage(input=7, output=2))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("cut-stream", UpstreamGarbled),
        ("reset-mid-stream", UpstreamUnreachable),
        ("close-mid-stream", UpstreamUnreachable),
        ("error-in-stream", UpstreamOverloaded),
    ],
)
def test_a_broken_stream_never_ends_cleanly(model: str, kind: type[UpstreamError]) -> None:
    async def scenario() -> None:
        async with bench() as given:
            texts, error = await texts_until_it_breaks(given.provider(model))
            assert texts == ["one", " two"]
            assert type(error) is kind

    asyncio.run(scenario())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "kind", "status"),
    [
        ("exhausted", UpstreamOverloaded, 429),
        ("overloaded", UpstreamOverloaded, 503),
        ("broken", UpstreamOverloaded, 500),
        ("late", UpstreamTimedOut, 504),
        ("missing", UpstreamRefused, 404),
        ("overfull", UpstreamRefused, 400),
        ("elsewhere", UpstreamRefused, 401),
        ("malformed-call", UpstreamGarbled, None),
        ("web-page", UpstreamGarbled, None),
    ],
)
def test_a_failure_before_the_answer_leaves_another_try_possible(
    model: str, kind: type[UpstreamError], status: int | None, stream: bool
) -> None:
    async def scenario() -> None:
        async with bench() as given:
            with pytest.raises(kind) as caught:
                await given.provider(model).send(asked(stream=stream))
            assert caught.value.upstream_status == status
            if model == "exhausted":
                assert caught.value.retry_after_s == 34.5
            if model == "overfull":
                assert caught.value.code == "context_length_exceeded"

    asyncio.run(scenario())


def test_an_answer_without_candidates_is_garbled() -> None:
    async def scenario() -> None:
        async with bench() as given:
            with pytest.raises(UpstreamGarbled):
                await given.provider("no-candidates").send(asked())
            with pytest.raises(UpstreamGarbled):
                await (await given.provider("no-candidates").send(asked(stream=True))).read()

    asyncio.run(scenario())


def test_a_wrong_key_is_not_the_callers_fault_and_is_not_quoted() -> None:
    async def scenario() -> None:
        async with bench() as given:
            with pytest.raises(UpstreamRefused) as caught:
                await given.provider(api_key="AIza-wrong-key-123").send(asked())
            assert caught.value.status == 502
            assert "AIza" not in str(caught.value)

    asyncio.run(scenario())


def test_a_caller_who_leaves_closes_the_upstream_at_once() -> None:
    async def scenario() -> None:
        async with bench() as given:
            reply = await given.provider("stall-mid-stream").send(asked(stream=True))
            await anext(reply.chunks)
            await reply.chunks.aclose()
            async with asyncio.timeout(1.0):
                await given.upstream.peers[0].closed.wait()
            assert given.upstream.peers[0].closed_by_client
            await until(lambda: given.upstream.running == 0)

    asyncio.run(scenario())


def test_many_inputs_go_in_batches_that_google_takes() -> None:
    async def scenario() -> None:
        async with bench() as given:
            inputs = tuple("a" * (number % 7) + "b" for number in range(201))
            told = await (
                await given.provider("gemini-embedding-001").embed(EmbeddingsRequest(model="public", inputs=inputs))
            ).read()
            assert [vector.tolist()[0] for vector in told.vectors] == [float(number % 7) for number in range(201)]
            assert told.usage == Usage(input=4 * 201)
            methods = [request.path.rpartition(":")[2] for request in given.upstream.requests]
            assert methods == ["batchEmbedContents", "batchEmbedContents", "embedContent"]
            sizes = [len(request.json.get("requests", [1])) for request in given.upstream.requests]
            assert sizes == [100, 100, 1]

    asyncio.run(scenario())


def test_a_vector_that_is_missing_is_garbled() -> None:
    async def scenario() -> None:
        async with bench() as given:
            body = msgspec.json.encode({"embeddings": [{"values": [1.0]}]})
            given.upstream.answers["few"] = lambda request: [response(body)]
            with pytest.raises(UpstreamGarbled, match="1 vectors for 2 inputs"):
                await given.provider("few").embed(EmbeddingsRequest(model="public", inputs=("a", "b")))

    asyncio.run(scenario())
