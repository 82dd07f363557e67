"""The official openai SDK against a running server: all that the format can say reaches provider and caller."""

from typing import Any

import openai
import pydantic
import pytest

from tests.support.server import Server
from tests.support.upstream import Upstream
from tests.wire.conftest import CALLS, LIMITS, LOGPROBS, RICH

PIXEL = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}
CUSTOM = {"type": "custom", "custom": {"name": "sql", "format": {"type": "text"}}}
EVERYTHING: dict[str, Any] = {
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "name": "ada",
            "content": [
                {"type": "text", "text": "all at once", "prompt_cache_breakpoint": {"mode": "explicit"}},
                {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "tool", "tool_call_id": CALLS[0]["id"], "content": "sunny"},
        {"role": "tool", "tool_call_id": CALLS[1]["id"], "content": [{"type": "text", "text": "rain"}]},
    ],
    "tools": [TOOL, CUSTOM],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}},
    "parallel_tool_calls": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}},
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"50256": -100},
    "n": 1,
    "seed": 7,
    "stop": ["\n\n"],
    "temperature": 0.5,
    "top_p": 0.9,
    "presence_penalty": 0.1,
    "frequency_penalty": -0.1,
    "max_completion_tokens": 64,
    "reasoning_effort": "low",
    "verbosity": "low",
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "mp3"},
    "prediction": {"type": "content", "content": "sunny"},
    "web_search_options": {"search_context_size": "low"},
    "service_tier": "flex",
    "prompt_cache_key": "key-1",
    "prompt_cache_retention": "24h",
    "safety_identifier": "user-1",
    "metadata": {"a": "b"},
    "x_own_field": {"kept": [1, 2.5, None]},
}


@pytest.mark.parametrize("stream", [False, True])
def test_every_parameter_reaches_the_provider_as_it_was_written(
    server: Server, upstream: Upstream, *, stream: bool
) -> None:
    marked = {**EVERYTHING, "user": f"everything-{stream}"}
    body = {"model": "rich", **marked, **({"stream": True} if stream else {})}
    assert server.ask("/v1/chat/completions", json=body).status == 200
    (request,) = [each for each in upstream.requests if each.json.get("user") == f"everything-{stream}"]
    told = request.json
    if stream:
        assert told.pop("stream_options") == {"include_usage": True}, "the ledger wants to know"
    assert told == body


def test_a_caller_may_ask_for_obfuscation(server: Server, upstream: Upstream) -> None:
    options = {"include_obfuscation": True}
    answer = server.chat("hide it", model="rich", stream=True, stream_options=options)
    (request,) = [each for each in upstream.requests if b"hide it" in each.body]
    assert request.json["stream_options"] == {"include_obfuscation": True, "include_usage": True}
    assert b'"obfuscation":"x7"' in answer.body
    assert b'"usage"' not in answer.body
    assert server.chat(stream=True, stream_options=options).body.endswith(b"data: [DONE]\n\n"), "and by a script"


def test_all_of_a_whole_answer_reaches_the_caller(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="rich", messages=[{"role": "user", "content": "hi"}])
    answer = raw.parse()
    assert {name: raw.headers[name] for name in LIMITS} == LIMITS
    (choice,) = answer.choices
    assert choice.message.tool_calls is not None
    assert [call.to_dict() for call in choice.message.tool_calls] == CALLS
    assert choice.message.model_extra == {"reasoning_content": "Let me see."}
    assert choice.message.audio is not None
    assert choice.message.audio.transcript == "Hi"
    assert choice.message.annotations is not None
    assert choice.message.annotations[0].url_citation.url == "https://a.example"
    assert choice.logprobs is not None
    assert choice.logprobs.to_dict() == LOGPROBS
    assert (answer.service_tier, answer.system_fingerprint) == (RICH["service_tier"], RICH["system_fingerprint"])
    assert answer.model_extra == {"x_own": RICH["x_own"]}
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert answer.usage.to_dict()["prompt_tokens_details"]["image_tokens"] == 2  # type: ignore[index]
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3


def test_all_of_a_stream_reaches_the_caller(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "rich", "messages": [{"role": "user", "content": "hi"}], "tools": [TOOL]}
    raw = client.chat.completions.with_raw_response.create(**asked, stream=True)
    assert {name: raw.headers[name] for name in LIMITS} == LIMITS
    chunks = list(raw.parse())
    said = [choice.delta.model_extra for chunk in chunks for choice in chunk.choices if choice.delta.model_extra]
    assert said == [{"reasoning_content": "Let me see."}]
    assert [c.logprobs.to_dict() for chunk in chunks for c in chunk.choices if c.logprobs] == [LOGPROBS]
    assert {(chunk.service_tier, chunk.system_fingerprint) for chunk in chunks} == {("flex", "fp_1")}
    with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
        whole = stream.get_final_completion()
    calls = whole.choices[0].message.tool_calls
    assert calls is not None
    assert [(call.id, call.function.arguments) for call in calls] == [
        ("call_Paris", '{"city":"Paris"}'),
        ("call_Oslo", '{"city":"Oslo"}'),
    ]
    assert whole.usage is not None
    assert whole.usage.total_tokens == 17


def test_a_schema_is_parsed_into_the_callers_own_class(client: openai.OpenAI) -> None:
    class Place(pydantic.BaseModel):
        city: str

    asked: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "Where?"}]}
    whole = client.chat.completions.parse(**asked, response_format=Place)
    assert whole.choices[0].message.parsed == Place(city="Paris")
    with client.chat.completions.stream(**asked, response_format=Place) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == Place(city="Paris")


def test_an_answer_without_limits_has_no_such_headers(client: openai.OpenAI) -> None:
    for model in ("fake", "chat"):
        raw = client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": "hi"}]
        )
        assert not [name for name in raw.headers if name.startswith("x-ratelimit")]


def test_a_model_of_the_settings_cannot_be_deleted(client: openai.OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.models.delete("fake")
    assert (caught.value.code, caught.value.param) == ("permission_denied", "model")
    with pytest.raises(openai.NotFoundError):
        client.models.delete("nobody")


def test_more_tokens_than_a_request_may_have_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="chat", input=[[1] * 1000] * 301)
    assert (caught.value.code, caught.value.param) == ("max_tokens_per_request", "input")
    assert len(client.embeddings.create(model="chat", input=[[1] * 1000] * 300).data) == 300
