"""Azure OpenAI: where it is asked, with what key, and what becomes of its filters."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest

from tests.support.azure_upstream import KEY, VERSION, AzureUpstream
from tests.support.clock import ManualClock
from tests.support.egress import open_client
from tests.support.strict_reader import read_stream
from tests.support.upstream import running_upstream
from undercroft.egress.client import Client
from undercroft.errors import UpstreamOverloaded, UpstreamRefused
from undercroft.llm.types import ChatRequest, Message, Source
from undercroft.providers.azure import azure, base_url
from undercroft.providers.openai_compatible import PLAIN, OpenAICompatible
from undercroft.wire.openai.chat import ChatStream


@asynccontextmanager
async def resource() -> AsyncGenerator[tuple[AzureUpstream, Client], None]:
    upstream = AzureUpstream()
    async with running_upstream(upstream=upstream), open_client() as client:
        yield upstream, client


def provider(
    upstream: AzureUpstream, client: Client, deployment: str = "mine", *, version: str | None = None, key: str = KEY
) -> OpenAICompatible:
    return azure(
        endpoint=upstream.origin_url,
        api_version=version,
        api_key=key,
        deployment=deployment,
        client=client,
        clock=ManualClock(),
        manners=PLAIN,
    )


def asked(*, stream: bool = False) -> ChatRequest:
    body = {"model": "public", "messages": [{"role": "user", "content": "hi"}], "stream": stream, "data_sources": []}
    return ChatRequest(
        model="public",
        messages=(Message(role="user", content="hi"),),
        stream=stream,
        source=Source("openai.chat", msgspec.json.encode(body)),
    )


@pytest.mark.parametrize(
    ("endpoint", "version", "expected"),
    [
        ("https://r.openai.azure.com", None, "https://r.openai.azure.com/openai/v1"),
        ("https://r.openai.azure.com/", None, "https://r.openai.azure.com/openai/v1"),
        ("https://r.openai.azure.com/openai/v1/", None, "https://r.openai.azure.com/openai/v1"),
        ("https://r.openai.azure.com/openai", "2024-10-21", "https://r.openai.azure.com/openai/deployments/my%20one"),
        ("https://gate/openai/deployments/x", "2024-10-21", "https://gate/openai/deployments/x"),
    ],
)
def test_the_address_is_made_from_what_the_portal_shows(endpoint: str, version: str | None, expected: str) -> None:
    assert base_url(endpoint, "my one", api_version=version) == expected


@pytest.mark.parametrize(
    ("version", "path"),
    [
        (None, "/openai/v1/chat/completions"),
        (VERSION, f"/openai/deployments/mine/chat/completions?api-version={VERSION}"),
    ],
)
def test_both_forms_of_the_path_carry_the_key_and_the_callers_own_fields(version: str | None, path: str) -> None:
    async def scenario() -> None:
        async with resource() as (upstream, client):
            await provider(upstream, client, version=version).send(asked())
            (request,) = upstream.requests
            assert request.path == path
            assert request.headers["api-key"] == KEY
            assert request.json["model"] == "mine"
            assert request.json["data_sources"] == []

    asyncio.run(scenario())


def test_what_the_filter_says_of_the_prompt_reaches_the_client_without_a_chunk_of_its_own() -> None:
    async def scenario() -> None:
        async with resource() as (upstream, client):
            reply = await provider(upstream, client).send(asked(stream=True))
            writer = ChatStream(id="x", created=1, model="m")
            written = b""
            async for chunk in reply.chunks:
                written += writer.frame(chunk)
            read = read_stream(written + writer.end(), include_usage=False)
            assert read.extras["prompt_filter_results"][0]["prompt_index"] == 0
            assert read.texts[0].startswith("one two")

    asyncio.run(scenario())


@pytest.mark.parametrize("stream", [False, True])
def test_a_filtered_answer_says_so(stream: bool) -> None:
    async def scenario() -> None:
        async with resource() as (upstream, client):
            told = await (await provider(upstream, client, "filtered-answer").send(asked(stream=stream))).read()
            assert told.choices[0].finish_reason == "content_filter"

    asyncio.run(scenario())


def test_a_filtered_prompt_is_the_callers_to_mend_and_keeps_its_code() -> None:
    async def scenario() -> None:
        async with resource() as (upstream, client):
            with pytest.raises(UpstreamRefused, match="content management policy") as refused:
                await provider(upstream, client, "filtered-prompt").send(asked())
            assert (refused.value.status, refused.value.code, refused.value.param) == (400, "content_filter", "prompt")

    asyncio.run(scenario())


def test_a_deployment_that_is_not_there_is_named_so() -> None:
    async def scenario() -> None:
        async with resource() as (upstream, client):
            with pytest.raises(UpstreamRefused) as refused:
                await provider(upstream, client, "nobody", version=VERSION).send(asked())
            assert (refused.value.status, refused.value.code) == (404, "DeploymentNotFound")

    asyncio.run(scenario())


def test_a_wrong_key_is_not_quoted() -> None:
    async def scenario() -> None:
        async with resource() as (upstream, client):
            with pytest.raises(UpstreamRefused) as refused:
                await provider(upstream, client, key="wrong").send(asked())
            assert refused.value.status == 502
            assert KEY not in str(refused.value)

    asyncio.run(scenario())


def test_a_busy_deployment_says_when_to_come_back() -> None:
    async def scenario() -> None:
        async with resource() as (upstream, client):
            with pytest.raises(UpstreamOverloaded) as caught:
                await provider(upstream, client, "busy").send(asked(stream=True))
            assert caught.value.retry_after_s == 2.5

    asyncio.run(scenario())
