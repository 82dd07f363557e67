"""The official openai SDK against a running server: chat, whole and streamed, sync and async."""

import asyncio

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam as Message

from tests.support.server import Server, until
from tests.support.upstream import Upstream

HI: list[Message] = [{"role": "user", "content": "Say something."}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
MODELS = ("chat", "fake")
SAID = {"chat": "One two three four five.", "fake": "one two three four five six seven eight nine ten"}


@pytest.mark.parametrize("model", MODELS)
def test_a_whole_answer(client: openai.OpenAI, model: str) -> None:
    raw = client.chat.completions.with_raw_response.create(model=model, messages=HI)
    answer = raw.parse()
    assert answer.choices[0].message.content == SAID[model]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.id.startswith("chatcmpl-")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    if model == "chat":  # a provider's whole answer is passed on with the provider's id
        assert raw.headers["x-request-id"].removeprefix("req_") == answer.id.removeprefix("chatcmpl-")
    assert answer._request_id == raw.headers["x-request-id"] == raw.headers["request-id"]


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_without_asking_for_usage_has_none(client: openai.OpenAI, model: str) -> None:
    chunks = list(client.chat.completions.create(model=model, messages=HI, stream=True))
    assert all(chunk.choices for chunk in chunks), "a client that reads choices[0] of every chunk must not break"
    assert not any(chunk.usage for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID[model]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_that_is_asked_for_usage_ends_with_it(client: openai.OpenAI, model: str) -> None:
    stream = client.chat.completions.create(
        model=model, messages=HI, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = list(stream)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == len(SAID[model].split())
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_a_stream_on_the_wire_is_frames_up_to_done(server: Server) -> None:
    answer = server.chat(stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    frames = answer.body.split(b"\n\n")
    assert frames.pop() == b""
    assert frames.pop() == b"data: [DONE]"
    assert all(frame.startswith(b"data: {") for frame in frames)


def test_what_providers_send_besides_is_put_straight(client: openai.OpenAI) -> None:
    plain = list(client.chat.completions.create(model="odd-stream", messages=HI, stream=True))
    assert all(chunk.choices for chunk in plain)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in plain) == "two words"
    asked = list(
        client.chat.completions.create(
            model="odd-stream", messages=HI, stream=True, stream_options={"include_usage": True}
        )
    )
    told = [chunk for chunk in asked if chunk.usage]
    assert len(told) == 1
    assert told[0] is asked[-1]
    assert told[0].choices == []


@pytest.mark.parametrize("model", MODELS)
def test_two_choices(client: openai.OpenAI, model: str) -> None:
    whole = client.chat.completions.create(model=model, messages=HI, n=2)
    assert [choice.index for choice in whole.choices] == [0, 1]
    texts = {0: "", 1: ""}
    ended = set()
    for chunk in client.chat.completions.create(model=model, messages=HI, n=2, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                ended.add(choice.index)
    assert texts == {0: SAID[model], 1: SAID[model]}
    assert ended == {0, 1}


@pytest.mark.parametrize("model", MODELS)
def test_stop_and_max_tokens(client: openai.OpenAI, model: str) -> None:
    stopped = client.chat.completions.create(model=model, messages=HI, stop=[" four", " five"])
    assert stopped.choices[0].message.content == SAID[model].partition(" four")[0]
    assert stopped.choices[0].finish_reason == "stop"
    for limit in ({"max_tokens": 2}, {"max_completion_tokens": 2}):
        cut = client.chat.completions.create(model=model, messages=HI, **limit)  # type: ignore[call-overload]
        assert cut.choices[0].message.content == " ".join(SAID[model].split()[:2])
        assert cut.choices[0].finish_reason == "length"


def test_tool_calls_whole_and_put_together_from_a_stream(client: openai.OpenAI) -> None:
    asked = {"model": "fake", "messages": HI, "tools": [TOOL], "tool_choice": "required"}
    whole = client.chat.completions.create(**asked)  # type: ignore[call-overload]
    with client.chat.completions.stream(**asked) as stream:  # type: ignore[arg-type]
        streamed = stream.get_final_completion()
    for answer in (whole, streamed):
        calls = answer.choices[0].message.tool_calls
        assert calls is not None
        (call,) = calls
        assert (call.type, call.id) == ("function", "call_1")
        assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Paris"}')
        assert answer.choices[0].finish_reason == "tool_calls"


def test_the_async_client(server: Server) -> None:
    async def ask() -> tuple[str | None, str]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="sk-anything", max_retries=0) as client:
            whole = await client.chat.completions.create(model="fake", messages=HI)
            stream = await client.chat.completions.create(model="fake", messages=HI, stream=True)
            texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
            many = await asyncio.gather(*(client.chat.completions.create(model="chat", messages=HI) for _ in range(20)))
            assert len({answer.id for answer in many}) == 20
            return whole.choices[0].message.content, "".join(texts)

    assert asyncio.run(ask()) == (SAID["fake"], SAID["fake"])


def test_fields_we_do_not_know_reach_the_provider(client: openai.OpenAI, upstream: Upstream) -> None:
    client.chat.completions.create(
        model="fake", messages=[{"role": "user", "content": "unknown fields"}], seed=7, extra_body={"min_p": 0.1}
    )
    (request,) = [each for each in upstream.requests if b"unknown fields" in each.body]
    assert request.json["min_p"] == 0.1
    assert request.json["seed"] == 7
    assert request.headers["authorization"] == "Bearer sk-an-upstream-key-that-nobody-may-see"


def test_the_callers_headers_do_not_reach_the_provider(client: openai.OpenAI, upstream: Upstream) -> None:
    client.chat.completions.create(
        model="fake",
        messages=[{"role": "user", "content": "my headers"}],
        extra_headers={"x-private": "yes", "cookie": "a=b", "x-forwarded-for": "1.2.3.4"},
    )
    (request,) = [each for each in upstream.requests if b"my headers" in each.body]
    assert not {"x-private", "cookie", "x-forwarded-for", "x-stainless-lang"} & set(request.headers)
    assert "sk-anything" not in str(request.headers)


def test_a_client_that_leaves_stops_the_provider_and_is_booked(
    client: openai.OpenAI, server: Server, upstream: Upstream
) -> None:
    with client.chat.completions.create(model="endless", messages=HI, stream=True, user="one-who-leaves") as stream:
        for _, _ in zip(range(10), stream, strict=False):
            pass
    (peer,) = [
        each for each in upstream.peers if each.requests and each.requests[-1].json.get("user") == "one-who-leaves"
    ]
    until(peer.closed.is_set, within_s=1.0, every_s=0.005)
    assert peer.closed_by_client
    until(lambda: any(row.end_user == "one-who-leaves" for row in server.rows()))
    (row,) = [each for each in server.rows() if each.end_user == "one-who-leaves"]
    assert (row.status, row.error, row.streamed, row.usage_estimated) == (499, "client_closed", True, True)
    assert row.output_tokens >= 9
    assert row.input_tokens > 0
    assert row.cost_nano == row.input_tokens * 1_000 + row.output_tokens * 2_000


def test_cancelling_a_task_stops_the_provider(server: Server, upstream: Upstream) -> None:
    """Before the first byte: the provider is silent, the client has no answer yet."""

    async def ask() -> None:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="sk-anything", max_retries=0) as client:
            asking = asyncio.create_task(
                client.chat.completions.create(model="silent", messages=HI, user="one-who-cancels")
            )
            await asyncio.sleep(0.3)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(ask())
    (peer,) = [
        each for each in upstream.peers if each.requests and each.requests[-1].json.get("user") == "one-who-cancels"
    ]
    until(peer.closed.is_set, within_s=1.0, every_s=0.005)
    until(lambda: any(row.end_user == "one-who-cancels" for row in server.rows()))
    (row,) = [each for each in server.rows() if each.end_user == "one-who-cancels"]
    assert (row.status, row.error, row.output_tokens) == (499, "client_closed", 0)
