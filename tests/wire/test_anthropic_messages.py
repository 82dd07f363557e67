"""The official anthropic SDK against a running server, whoever answers: a script, OpenAI's wire, Anthropic's own."""

import asyncio
from typing import Any

import anthropic
import httpx2
import pytest
from pydantic import BaseModel

from tests.support.anthropic_upstream import CITATION, REDACTED, SIGNATURE, AnthropicUpstream
from tests.support.server import Server, until
from tests.support.upstream import Upstream

HI: Any = [{"role": "user", "content": "Count to ten."}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CLAUDE = "a-claude-sonnet-5-5"
TARGETS = ["chat", "fake", CLAUDE]
"""A script, a server of OpenAI's wire, one of Anthropic's."""
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


class Person(BaseModel):
    name: str
    age: int


def ask(client: anthropic.Anthropic, model: str, **more: Any) -> Any:
    return client.messages.create(**{"model": model, "max_tokens": 64, "messages": HI, **more})


@pytest.mark.parametrize("model", TARGETS)
def test_a_whole_answer(messages: anthropic.Anthropic, model: str) -> None:
    answer = ask(messages, model)
    assert (answer.type, answer.role, answer.stop_reason, answer.stop_sequence) == (
        "message", "assistant", "end_turn", None,
    )  # fmt: skip
    assert answer.id.startswith("msg_")
    assert answer.content[0].type == "text"
    assert answer.content[0].text.lower().startswith("one two three")
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert answer._request_id.startswith("req_")


@pytest.mark.parametrize("model", TARGETS)
def test_a_stream_adds_up_to_the_whole_answer(messages: anthropic.Anthropic, model: str) -> None:
    whole = ask(messages, model)
    with messages.messages.stream(model=model, max_tokens=64, messages=HI) as stream:
        kinds = [event.type for event in stream]
        final: Any = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert kinds.count("text") > 2
    assert final.content[0].text == whole.content[0].text
    assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)
    assert final.usage.input_tokens == whole.usage.input_tokens


@pytest.mark.parametrize("model", TARGETS)
def test_the_events_come_in_the_formats_order(messages: anthropic.Anthropic, model: str) -> None:
    kinds = [event.type for event in ask(messages, model, stream=True)]
    deltas = kinds.count("content_block_delta")
    assert kinds == [
        "message_start", "content_block_start", *["content_block_delta"] * deltas, "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert deltas > 2


@pytest.mark.parametrize("model", TARGETS)
def test_every_event_is_named_and_nothing_is_openais(server: Server, model: str) -> None:
    body = {"model": model, "max_tokens": 64, "messages": HI, "stream": True}
    answer = server.ask("/v1/messages", json=body)
    frames = answer.body.decode().strip().split("\n\n")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert all(frame.startswith("event: ") and "\ndata: {" in frame for frame in frames)
    assert "event: ping" in answer.body.decode()
    assert "[DONE]" not in answer.body.decode()
    assert answer.request_id


def test_the_async_client_does_the_same(server: Server) -> None:
    async def scenario() -> None:
        async with anthropic.AsyncAnthropic(base_url=server.url, api_key="sk-ant-any", max_retries=0) as client:
            whole = await client.messages.create(model="chat", max_tokens=64, messages=HI)
            async with client.messages.stream(model="chat", max_tokens=64, messages=HI) as stream:
                text = "".join([piece async for piece in stream.text_stream])
            assert whole.content[0].type == "text"
            assert text == whole.content[0].text

    asyncio.run(scenario())


@pytest.mark.parametrize("model", TARGETS)
def test_limits_and_stops(messages: anthropic.Anthropic, model: str) -> None:
    assert ask(messages, model, max_tokens=2).stop_reason == "max_tokens"
    stopped = ask(messages, model, stop_sequences=["three"])
    assert "three" not in stopped.content[0].text
    assert stopped.stop_reason in ("stop_sequence", "end_turn"), "OpenAI's wire does not say which it was"
    if model == CLAUDE:
        assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "three")


@pytest.mark.parametrize("model", ["fake", CLAUDE])
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "any", "disable_parallel_tool_use": True}])
def test_a_tool_is_called_and_its_result_taken(messages: anthropic.Anthropic, model: str, choice: Any) -> None:
    answer = ask(messages, model, tools=[WEATHER], tool_choice=choice)
    (call,) = [block for block in answer.content if block.type == "tool_use"]
    assert (call.name, call.input, answer.stop_reason) == ("get_weather", {"city": "Paris"}, "tool_use")
    with messages.messages.stream(
        model=model, max_tokens=64, messages=HI, tools=[WEATHER], tool_choice=choice
    ) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        streamed = stream.get_final_message()
    assert "".join(pieces).replace(" ", "") == '{"city":"Paris"}'
    assert [(block.name, block.input) for block in streamed.content if block.type == "tool_use"] == [
        ("get_weather", {"city": "Paris"})
    ]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "Sunny."}]}
    turns = [*HI, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    assert ask(messages, model, messages=turns, tools=[WEATHER]).content[0].type == "text"


def test_what_openais_wire_is_sent(messages: anthropic.Anthropic, upstream: Upstream) -> None:
    content = [
        {"type": "text", "text": "Look.", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": PNG},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A text."}},
    ]
    thought = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "text", "text": "Yes."}]
    turns = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": thought},
        {"role": "user", "content": "And?"},
    ]
    ask(messages, "fake", messages=turns, system="Be brief.", metadata={"user_id": "wire-form"}, max_tokens=9,
        output_config={"effort": "max"}, extra_body={"temperature": 0.5})  # fmt: skip
    (sent,) = [each.json for each in upstream.requests if each.json.get("user") == "wire-form"]
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "Look."},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
            {"type": "text", "text": "A text."},
        ]},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]},
        {"role": "user", "content": "And?"},
    ]  # fmt: skip
    assert (sent["max_completion_tokens"], sent["temperature"], sent["reasoning_effort"]) == (9, 0.5, "xhigh")


def test_a_hint_that_cannot_be_passed_on_is_named(server: Server) -> None:
    body = {"model": "fake", "max_tokens": 2000, "messages": HI, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    assert server.ask("/v1/messages", json=body).headers["x-undercroft-dropped"] == "thinking"


def test_a_tool_of_anthropics_own_is_refused_where_nobody_has_it(messages: anthropic.Anthropic) -> None:
    search: Any = {"type": "web_search_20260318", "name": "web_search"}
    with pytest.raises(anthropic.BadRequestError, match="web_search"):
        ask(messages, "fake", tools=[search])


def test_anthropics_wire_is_sent_the_callers_own_bytes(
    messages: anthropic.Anthropic, anthropic_upstream: AnthropicUpstream
) -> None:
    ask(messages, CLAUDE, metadata={"user_id": "own-bytes"}, extra_body={"x_new": {"deep": [1]}},
        extra_headers={"anthropic-beta": "new-thing-2026-11-01"})  # fmt: skip
    (sent,) = [each for each in anthropic_upstream.requests if "own-bytes" in str(each.json.get("metadata"))]
    assert sent.json == {
        "model": "claude-sonnet-5-5", "max_tokens": 64, "messages": HI, "metadata": {"user_id": "own-bytes"},
        "x_new": {"deep": [1]},
    }  # fmt: skip
    assert sent.headers["anthropic-beta"] == "new-thing-2026-11-01"
    assert sent.headers["anthropic-version"] == messages.default_headers["anthropic-version"]


@pytest.mark.parametrize("stream", [False, True])
def test_what_only_anthropic_can_say_gets_through(messages: anthropic.Anthropic, *, stream: bool) -> None:
    if stream:
        with messages.messages.stream(model="a-rich", max_tokens=64, messages=HI) as events:
            answer: Any = events.get_final_message()
    else:
        answer = ask(messages, "a-rich")
    redacted, _, _, text = answer.content
    assert [block.type for block in answer.content] == [
        "redacted_thinking", "server_tool_use", "web_search_tool_result", "text",
    ]  # fmt: skip
    assert redacted.data == REDACTED
    assert text.citations[0].cited_text == CITATION["cited_text"]


def test_thinking_comes_with_its_signature_and_can_be_sent_back(messages: anthropic.Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    with messages.messages.stream(model=CLAUDE, max_tokens=2048, messages=HI, thinking=thinking) as stream:
        answer: Any = stream.get_final_message()
    assert (answer.content[0].thinking, answer.content[0].signature) == ("Let me count.", SIGNATURE)
    turns: Any = [*HI, {"role": "assistant", "content": answer.content}, {"role": "user", "content": "Again."}]
    assert ask(messages, CLAUDE, messages=turns).content[0].type == "text"


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("a-refusal", "refusal"),
        ("a-window", "model_context_window_exceeded"),
        ("a-paused", "pause_turn"),
    ],
)
def test_every_reason_to_stop_gets_through(messages: anthropic.Anthropic, model: str, reason: str) -> None:
    assert ask(messages, model).stop_reason == reason
    with messages.messages.stream(model=model, max_tokens=64, messages=HI) as stream:
        final: Any = stream.get_final_message()
    assert final.stop_reason == reason
    assert (final.stop_details is not None) == (reason == "refusal")


def test_a_schema_is_kept(messages: anthropic.Anthropic) -> None:
    parsed = messages.messages.parse(model=CLAUDE, max_tokens=64, messages=HI, output_format=Person)
    assert parsed.parsed_output == Person(name="Ada", age=36)


def test_tokens_of_the_cache_are_told_apart_and_booked_as_input(messages: anthropic.Anthropic, server: Server) -> None:
    hinted: Any = [{"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}]
    answer = ask(messages, CLAUDE, system=hinted, metadata={"user_id": "cached"})
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens) == (7, 3, 5)
    until(lambda: any(row.end_user == "cached" for row in server.rows()))
    (row,) = [each for each in server.rows() if each.end_user == "cached"]
    assert (row.input_tokens, row.cache_read_tokens, row.cache_write_tokens) == (15, 5, 3)
    assert (row.endpoint, row.provider, row.upstream_model) == ("/v1/messages", "anthropic", "claude-fake-1")


@pytest.mark.parametrize("headers", [{"x-api-key": "sk-ant-x"}, {"authorization": "Bearer sk-ant-x"}, {}])
@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21", "2099-01-01", ""])
def test_any_version_and_either_credential_will_do(server: Server, headers: dict[str, str], version: str) -> None:
    sent = {**headers, **({"anthropic-version": version} if version else {})}
    body = {"model": "chat", "max_tokens": 5, "messages": HI}
    assert server.ask("/v1/messages", json=body, headers=sent).status == 200


@pytest.mark.parametrize("model", TARGETS)
def test_tokens_are_counted(messages: anthropic.Anthropic, anthropic_upstream: AnthropicUpstream, model: str) -> None:
    before = len(anthropic_upstream.requests)
    short = messages.messages.count_tokens(model=model, messages=HI).input_tokens
    long = messages.messages.count_tokens(model=model, messages=HI, system="word " * 100, tools=[WEATHER]).input_tokens
    assert 0 < short <= long
    asked = [each.path for each in anthropic_upstream.requests[before:]]
    assert asked == (["/v1/messages/count_tokens"] * 2 if model == CLAUDE else [])
    assert long - short > 100 or model == CLAUDE


def test_models_are_paged(messages: anthropic.Anthropic, server: Server) -> None:
    first = messages.models.list(limit=3)
    assert len(first.data) == 3
    assert first.has_more
    seen = [model.id for model in first]
    plain = [model["id"] for model in server.ask("/v1/models").json["data"]]
    assert seen == plain, "the same models as OpenAI's clients see, in the same order"
    one = messages.models.retrieve(CLAUDE)
    assert (one.id, one.display_name, one.type) == (CLAUDE, CLAUDE, "model")
    with pytest.raises(anthropic.NotFoundError) as caught:
        messages.models.retrieve("nobody")
    assert caught.value.type == "not_found_error"


def test_an_unknown_model_of_a_count_says_which_exist(messages: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="chat"):
        messages.messages.count_tokens(model="nobody", messages=HI)


def test_the_caller_leaves_and_the_upstream_is_let_go(server: Server, anthropic_upstream: AnthropicUpstream) -> None:
    body = {"model": "a-stall-mid-stream", "max_tokens": 64, "messages": HI, "stream": True}
    with httpx2.stream("POST", f"{server.url}/v1/messages", json=body) as answer:
        next(answer.iter_bytes())
    stalled = [
        each for each in anthropic_upstream.peers if each.requests and each.requests[-1].model == "stall-mid-stream"
    ]
    until(lambda: all(peer.closed.is_set() for peer in stalled), within_s=2.0)
    assert stalled
