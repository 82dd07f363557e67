"""The provider of Anthropic's format against a local server as strict as the original."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.support.anthropic_upstream import RICH, SIGNATURE, AnthropicUpstream
from tests.support.egress import open_client, until
from tests.support.upstream import response, running_upstream
from undercroft.clock import SystemClock
from undercroft.errors import (
    ConfigurationError,
    InvalidRequest,
    UpstreamError,
    UpstreamGarbled,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from undercroft.llm.types import ChatRequest, Chunk, Message, Part, ResponseFormat, Sampling, Source, Usage
from undercroft.providers.anthropic import VERSION, Anthropic
from undercroft.wire.anthropic import decode

KEY = "sk-ant-a-key"


def request(*, stream: bool = False, **fields: Any) -> ChatRequest:
    return ChatRequest(model="public", messages=(Message(role="user", content="Count."),), stream=stream, **fields)


def of_a_caller(**fields: Any) -> ChatRequest:
    """A request of the same format."""
    body = {"model": "public", "max_tokens": 64, "messages": [{"role": "user", "content": "Count."}], **fields}
    headers = (("anthropic-version", "2026-10-21"), ("anthropic-beta", "one-2026-01-01,two-2026-01-01"))
    return decode(msgspec.json.encode(body), headers=headers)


Scenario = Callable[[AnthropicUpstream, Callable[..., Anthropic]], Awaitable[None]]


def run(scenario: Scenario) -> None:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[tuple[AnthropicUpstream, Callable[..., Anthropic]], None]:
        clock = SystemClock()
        upstream = AnthropicUpstream()
        async with (
            running_upstream(upstream=upstream),
            open_client(clock, idle_timeout_s=0.3, first_byte_timeout_s=0.3) as client,
        ):

            def provider(model: str = "claude-sonnet-5-5", **options: Any) -> Anthropic:
                return Anthropic(
                    "anthropic",
                    base_url=upstream.base_url,
                    model=model,
                    client=client,
                    clock=clock,
                    **{"api_key": KEY, **options},
                )

            yield upstream, provider

    async def body() -> None:
        async with opened() as (upstream, provider), asyncio.timeout(30):
            await scenario(upstream, provider)

    asyncio.run(body())


async def read(provider: Anthropic, asked: ChatRequest) -> list[Chunk]:
    reply = await provider.send(asked)
    async with aclosing(reply.chunks) as chunks:
        return [chunk async for chunk in chunks]


def test_it_identifies_itself_as_anthropic_wants_it() -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        await (await provider().send(request())).read()
        (sent,) = upstream.requests
        assert sent.path == "/v1/messages"
        assert (sent.headers["x-api-key"], sent.headers["anthropic-version"]) == (KEY, VERSION)
        assert sent.headers["accept-encoding"] == "identity"

    run(scenario)


def test_a_caller_of_the_same_format_keeps_its_bytes_version_and_betas() -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        await (
            await provider().send(of_a_caller(x_unknown={"a": [1, None]}, cache_control={"type": "ephemeral"}))
        ).read()
        (sent,) = upstream.requests
        assert sent.json == {
            "model": "claude-sonnet-5-5",
            "max_tokens": 64,
            "messages": [{"role": "user", "content": "Count."}],
            "x_unknown": {"a": [1, None]},
            "cache_control": {"type": "ephemeral"},
        }
        assert sent.headers["anthropic-version"] == "2026-10-21"
        assert sent.headers["anthropic-beta"] == "one-2026-01-01,two-2026-01-01"

    run(scenario)


def test_headers_of_another_format_are_not_sent() -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        source = Source("openai.chat", b"{}", (("anthropic-beta", "x"),))
        await (await provider().send(request(source=source))).read()
        assert "anthropic-beta" not in upstream.requests[0].headers

    run(scenario)


def test_a_stream_passes_every_event_of_the_answer() -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        chunks = await read(provider("rich"), of_a_caller(stream=True))
        assert [msgspec.json.decode(chunk.source or b"") for chunk in chunks] == RICH[:-1]
        whole = await (await provider("rich").send(of_a_caller())).read()
        assert whole.whole
        told = msgspec.json.decode(whole.source or b"")
        assert [block["type"] for block in told["content"]] == [
            "redacted_thinking", "server_tool_use", "web_search_tool_result", "text",
        ]  # fmt: skip

    run(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_comes_with_its_proof_and_usage_in_normal_form(*, stream: bool) -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        hinted = Part(type="text", text="Count.", cache_control={"type": "ephemeral"})
        asked = ChatRequest(
            model="public",
            messages=(Message(role="user", content=(hinted,)),),
            reasoning_effort="low",
            stream=stream,
        )
        answer = await (await provider().send(asked)).read()
        (choice,) = answer.choices
        assert (choice.reasoning, choice.signature) == ("Let me count.", SIGNATURE)
        assert choice.text.startswith("one two")
        assert answer.usage is not None
        assert (answer.usage.input, answer.usage.cache_read, answer.usage.cache_write) == (15, 5, 3)

    run(scenario)


@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "claude-3-5-haiku-20241022"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("shape", [
    ResponseFormat(type="json_schema", name="person", schema={"type": "object", "properties": {"name": {}}}),
    ResponseFormat(type="json_object"),
])  # fmt: skip
def test_an_answer_in_json_is_text_with_every_model(model: str, *, stream: bool, shape: ResponseFormat) -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        answer = await (await provider(model).send(request(stream=stream, response_format=shape))).read()
        (choice,) = answer.choices
        assert msgspec.json.decode(choice.text) == {"name": "Ada", "age": 36}
        assert (choice.finish_reason, choice.tool_calls) == ("stop", ())

    run(scenario)


def test_what_it_cannot_do_is_refused_before_anything_is_sent_or_dropped_and_told() -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        asked = request(sampling=Sampling(n=2, seed=1))
        with pytest.raises(InvalidRequest):
            await provider().send(asked)
        assert upstream.requests == []
        assert (await provider(drop_unsupported=True).send(asked)).dropped == ("n", "seed")
        streamed = await provider(drop_unsupported=True).send(msgspec.structs.replace(asked, stream=True))
        assert streamed.dropped == ("n", "seed")
        await streamed.chunks.aclose()

    run(scenario)


@pytest.mark.parametrize(
    ("model", "kind", "code", "retryable"),
    [
        ("overloaded", UpstreamOverloaded, "upstream_overloaded", True),
        ("busy", UpstreamOverloaded, "upstream_overloaded", True),
        ("broken", UpstreamOverloaded, "upstream_overloaded", True),
        ("no-credit", UpstreamOverloaded, "upstream_quota_spent", True),
        ("too-long", UpstreamRefused, "context_length_exceeded", False),
        ("no-room", UpstreamRefused, "context_length_exceeded", False),
        ("too-large", UpstreamRefused, "upstream_refused", False),
        ("unknown", UpstreamRefused, "upstream_refused", False),
        ("bad-key", UpstreamRefused, "upstream_refused", False),
        ("web-page", UpstreamGarbled, "upstream_invalid", True),
        ("silent", UpstreamTimedOut, "upstream_timeout", True),
        ("reset-before-head", UpstreamUnreachable, "upstream_unreachable", True),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_of_its_kind(
    model: str, kind: type[UpstreamError], code: str, *, retryable: bool, stream: bool
) -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        with pytest.raises(kind) as caught:
            await provider(model).send(request(stream=stream))
        assert (caught.value.code, caught.value.retryable) == (code, retryable)
        assert KEY not in str(caught.value)

    run(scenario)


@pytest.mark.parametrize("model", ["error-first", "error-after-start"])
def test_an_error_before_the_answers_first_word_can_still_be_tried_elsewhere(model: str) -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        with pytest.raises(UpstreamOverloaded):
            await provider(model).send(request(stream=True))

    run(scenario)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("reset-mid-stream", UpstreamUnreachable),
        ("close-mid-stream", UpstreamUnreachable),
        ("stall-mid-stream", UpstreamTimedOut),
        ("cut-stream", UpstreamGarbled),
        ("no-stop", UpstreamGarbled),
        ("stop-too-early", UpstreamGarbled),
        ("error-event", UpstreamOverloaded),
        ("error-after-end", UpstreamOverloaded),
    ],
)
def test_a_cut_stream_never_ends_cleanly(model: str, kind: type[UpstreamError]) -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        reply = await provider(model).send(request(stream=True))
        text = ""
        with pytest.raises(kind):  # noqa: PT012 - what came before the break counts too
            async for chunk in reply.chunks:
                text += chunk.text()
        assert text == "one two"

    run(scenario)


def test_a_stream_that_has_ended_does_not_wait_for_the_connection() -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        chunks = await read(provider("never-closes"), request(stream=True))
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert chunks[-1].usage == Usage(input=7, output=2)

    run(scenario)


def test_a_closed_reply_cuts_the_upstream_off() -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        reply = await provider("stall-mid-stream").send(request(stream=True))
        await reply.chunks.aclose()
        await until(lambda: all(peer.closed.is_set() for peer in upstream.peers))

    run(scenario)


def test_a_whole_answer_may_come_where_a_stream_was_asked_for() -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        plain = await (await provider().send(request())).read()
        upstream.answers["whole"] = lambda asked: _whole(plain.source or b"")
        assert (await (await provider("whole").send(request(stream=True))).read()).text() == plain.text()

    run(scenario)


def _whole(body: bytes) -> list[Any]:
    return [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)]


def test_it_counts_tokens_for_callers_of_either_format() -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        counts = [await provider().count_tokens(asked) for asked in (request(), of_a_caller())]
        assert counts[0] == counts[1] > 4
        assert {sent.path for sent in upstream.requests} == {"/v1/messages/count_tokens"}

    run(scenario)


def test_a_count_that_is_none_is_garbled() -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        upstream.answers["odd"] = lambda asked: _whole(b'{"tokens":1}')
        with pytest.raises(UpstreamGarbled):
            await provider("odd").count_tokens(request())

    run(scenario)


def test_a_key_that_cannot_stand_in_a_header_is_found_at_the_start() -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        with pytest.raises(ConfigurationError) as caught:
            provider(api_key="sk-ant\n")
        assert "sk-ant" not in str(caught.value)

    run(scenario)


def test_its_list_of_models_tells_how_it_is() -> None:
    async def scenario(upstream: AnthropicUpstream, provider: Callable[..., Anthropic]) -> None:
        upstream.answers["/v1/models"] = lambda _: [response('{"data": []}')]
        await provider().check()
        (sent,) = upstream.requests
        assert (sent.path, sent.body) == ("/v1/models", b"")
        assert (sent.headers["x-api-key"], sent.headers["anthropic-version"]) == (KEY, VERSION)
        upstream.answers["/v1/models"] = lambda _: [response('{"error": {}}', status="529 Overloaded")]
        with pytest.raises(UpstreamOverloaded):
            await provider().check()

    run(scenario)
