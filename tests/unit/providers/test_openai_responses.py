"""A provider that speaks Responses, and one that does not, over a socket on loopback."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.support.clock import ManualClock
from tests.support.egress import open_client, until
from tests.support.responses_upstream import events_of, framed, whole_response
from tests.support.upstream import STREAM_HEAD, Do, Step, Upstream, chunk, response, running_upstream
from undercroft.errors import (
    InvalidRequest,
    UpstreamError,
    UpstreamGarbled,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamUnreachable,
)
from undercroft.llm.provider import ChatProvider, ResponsesProvider
from undercroft.llm.types import ChatRequest, Chunk, Message
from undercroft.providers.openai_compatible import Manners
from undercroft.providers.openai_responses import OpenAIResponses
from undercroft.record import Usage
from undercroft.wire.openai import responses

USAGE = Usage(input=7, output=3, cache_read=2, reasoning=1)
BODY = whole_response({"model": "theirs", "input": "hi"})
EVENTS = [framed(each) for each in events_of(BODY)]


def asked(**fields: Any) -> ChatRequest:
    return responses.request_of(responses.decode(msgspec.json.encode({"input": "hi", "model": "ours", **fields})), None)


@asynccontextmanager
async def provided(
    *steps: Step, speaks: bool = True, drop: bool = False
) -> AsyncGenerator[tuple[OpenAIResponses, Upstream], None]:
    """A provider whose upstream answers with `steps`, or well."""
    async with running_upstream() as upstream, open_client() as client:
        if steps:
            upstream.answers["theirs"] = lambda _: list(steps)
        yield (
            OpenAIResponses(
                "fake",
                base_url=upstream.base_url,
                api_key="sk-1",
                model="theirs",
                client=client,
                clock=ManualClock(),
                speaks_responses=speaks,
                manners=Manners(drop_unsupported=drop),
            ),
            upstream,
        )


async def read(provider: OpenAIResponses, request: ChatRequest) -> list[Chunk]:
    reply = await provider.send(request)
    async with aclosing(reply.chunks) as chunks:
        return [each async for each in chunks]


def test_it_is_a_chat_provider_that_says_what_it_speaks() -> None:
    async def scenario() -> None:
        async with provided() as (provider, _):
            assert isinstance(provider, ChatProvider)
            assert isinstance(provider, ResponsesProvider)

    asyncio.run(scenario())


def test_a_whole_answer_keeps_its_bytes() -> None:
    async def scenario() -> None:
        body = msgspec.json.encode(BODY)
        async with provided(response(body)) as (provider, upstream):
            whole = await (await provider.send(asked(unknown={"a": 1}))).read()
            assert (whole.source, whole.dialect, whole.usage) == (body, "openai.responses", USAGE)
            assert whole.text() == "one two three"
            (request,) = upstream.requests
            assert request.path == "/v1/responses"
            assert request.json == {"input": "hi", "model": "theirs", "unknown": {"a": 1}}
            assert request.headers["authorization"] == "Bearer sk-1"

    asyncio.run(scenario())


@pytest.mark.parametrize("end", [[chunk(b"")], [Do.CLOSE], [Do.HANG], [chunk(b"data: [DONE]\n\n"), chunk(b"")]])
def test_a_stream_is_over_with_its_last_event(end: list[Step]) -> None:
    async def scenario() -> None:
        async with provided(STREAM_HEAD, *map(chunk, EVENTS), *end) as (provider, _):
            chunks = await asyncio.wait_for(read(provider, asked(stream=True)), 20)
            assert [each.source for each in chunks] == [msgspec.json.encode(each) for each in events_of(BODY)]
            assert chunks[-1].usage == USAGE
            assert chunks[-1].choices[0].finish_reason == "stop"

    asyncio.run(scenario())


@pytest.mark.parametrize("count", range(len(EVENTS)))
@pytest.mark.parametrize("end", [[chunk(b"")], [chunk(b"data: [DONE]\n\n"), chunk(b"")], [Do.CLOSE], [Do.RESET]])
def test_a_stream_that_is_cut_never_ends_cleanly(count: int, end: list[Step]) -> None:
    async def scenario() -> None:
        async with provided(STREAM_HEAD, *map(chunk, EVENTS[:count]), 0.01, *end) as (provider, _):
            with pytest.raises((UpstreamGarbled, UpstreamUnreachable)):
                await read(provider, asked(stream=True))

    asyncio.run(scenario())


@pytest.mark.parametrize(("code", "kind"), [("server_error", UpstreamOverloaded), ("invalid_prompt", UpstreamRefused)])
def test_a_failure_inside_a_stream_is_raised(code: str, kind: type[UpstreamError]) -> None:
    failed = {**BODY, "status": "failed", "error": {"code": code, "message": "it fell over"}}
    event = framed({"type": "response.failed", "sequence_number": 2, "response": failed})

    async def scenario() -> None:
        async with provided(STREAM_HEAD, *map(chunk, EVENTS[:2]), chunk(event), chunk(b"")) as (provider, _):
            with pytest.raises(kind, match="it fell over"):
                await read(provider, asked(stream=True))

    asyncio.run(scenario())


def test_an_answer_in_one_piece_where_a_stream_was_asked_for_is_taken() -> None:
    async def scenario() -> None:
        async with provided(response(msgspec.json.encode(BODY))) as (provider, _):
            (only,) = await read(provider, asked(stream=True))
            assert only.whole
            assert only.text() == "one two three"

    asyncio.run(scenario())


def test_closing_the_answer_stops_the_provider() -> None:
    async def scenario() -> None:
        async with provided(STREAM_HEAD, *map(chunk, EVENTS[:6]), Do.HANG) as (provider, upstream):
            reply = await provider.send(asked(stream=True))
            await anext(reply.chunks)
            await reply.chunks.aclose()
            await until(upstream.peers[0].closed.is_set)
            assert upstream.peers[0].closed_by_client

    asyncio.run(scenario())


def test_without_the_format_it_is_a_chat() -> None:
    async def scenario() -> None:
        async with provided(speaks=False) as (provider, upstream):
            chunks = await read(provider, asked(stream=True, instructions="Be brief.", max_output_tokens=3))
            assert "".join(each.text() for each in chunks) == "one two three"
            (request,) = upstream.requests
            assert request.path == "/v1/chat/completions"
            assert request.json["messages"] == [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hi"},
            ]
            assert (request.json["model"], request.json["max_completion_tokens"]) == ("theirs", 3)

    asyncio.run(scenario())


def test_what_a_chat_cannot_carry_is_refused_or_told() -> None:
    request = asked(tools=[{"type": "web_search"}])

    async def scenario() -> None:
        async with provided(speaks=False) as (provider, upstream):
            with pytest.raises(InvalidRequest):
                await provider.send(request)
            assert upstream.requests == []
        async with provided(speaks=False, drop=True) as (provider, _):
            reply = await provider.send(request)
            assert reply.dropped == ("tools[0]",)

    asyncio.run(scenario())


def test_chats_go_their_usual_way() -> None:
    request = ChatRequest(model="ours", messages=(Message(role="user", content="hi"),))

    async def scenario() -> None:
        async with provided() as (provider, upstream):
            whole = await (await provider.send(request)).read()
            assert whole.text().startswith("one two three four")
            assert upstream.requests[0].path == "/v1/chat/completions"

    asyncio.run(scenario())
