"""The official openai SDK, with models that speak Anthropic's format behind it."""

from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.support.anthropic_upstream import AnthropicUpstream

HI: Any = [{"role": "user", "content": "Count to ten."}]
CLAUDE = "a-claude-sonnet-5-5"
MODELS = [CLAUDE, "a-claude-3-5-haiku"]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Person(BaseModel):
    name: str
    age: int


def ask(client: openai.OpenAI, model: str = CLAUDE, **more: Any) -> Any:
    return client.chat.completions.create(**{"model": model, "messages": HI, **more})


def test_a_whole_answer(client: openai.OpenAI) -> None:
    answer = ask(client)
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == (
        "one two three four five six seven eight nine ten", "stop",
    )  # fmt: skip
    assert answer.model == "claude-fake-1"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_adds_up_to_the_same(client: openai.OpenAI) -> None:
    whole = ask(client)
    *chunks, last = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert last.usage == whole.usage


def test_tokens_of_the_cache_are_part_of_the_prompts(client: openai.OpenAI) -> None:
    hinted: Any = [
        {"type": "text", "text": "Count.", "prompt_cache_breakpoint": {"mode": "explicit"}},
    ]
    usage = ask(client, messages=[{"role": "user", "content": hinted}]).usage
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (15, 5)


def test_a_tool_is_called_and_its_result_taken(client: openai.OpenAI) -> None:
    answer = ask(client, tools=[WEATHER], tool_choice="required")
    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Paris"}')
    assert answer.choices[0].finish_reason == "tool_calls"
    with client.chat.completions.stream(model=CLAUDE, messages=HI, tools=[WEATHER], tool_choice="required") as stream:
        final: Any = stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"city":"Paris"}'
    turns = [
        *HI,
        answer.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "Sunny."},
    ]
    assert ask(client, messages=turns, tools=[WEATHER]).choices[0].message.content


def test_reasoning_is_shown(client: openai.OpenAI) -> None:
    message = ask(client, reasoning_effort="low").choices[0].message
    assert message.reasoning_content == "Let me count."


@pytest.mark.parametrize("model", MODELS)
def test_a_schema_is_kept_by_newer_and_older_models(client: openai.OpenAI, model: str) -> None:
    parsed = client.chat.completions.parse(model=model, messages=HI, response_format=Person)
    assert parsed.choices[0].message.parsed == Person(name="Ada", age=36)
    with client.chat.completions.stream(model=model, messages=HI, response_format=Person) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Person(name="Ada", age=36)
    assert final.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"seed": 1}, "seed"),
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
    ],
)
def test_what_anthropic_cannot_do_is_refused_or_dropped_as_the_operator_chose(
    client: openai.OpenAI, given: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **given)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", param)
    raw = client.chat.completions.with_raw_response.create(model="a-dropping", messages=HI, **given)
    assert raw.headers["x-undercroft-dropped"] == param
    assert len(raw.parse().choices) == 1


def test_what_nobody_here_knows_is_told_to_have_been_left_out(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=CLAUDE, messages=HI, extra_body={"x_new": 1})
    assert raw.headers["x-undercroft-dropped"] == "x_new"


@pytest.mark.parametrize(
    ("model", "kind", "code"),
    [
        ("a-too-long", openai.BadRequestError, "context_length_exceeded"),
        ("a-overloaded", openai.InternalServerError, "upstream_overloaded"),
        ("a-bad-key", openai.InternalServerError, "upstream_refused"),
    ],
)
def test_errors_are_openais(client: openai.OpenAI, model: str, kind: Any, code: str) -> None:
    with pytest.raises(kind) as caught:
        ask(client, model)
    assert caught.value.code == code


def test_a_stream_that_breaks_has_no_clean_end(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError):
        list(ask(client, "a-cut-stream", stream=True))


def test_a_refusal_is_a_content_filters(client: openai.OpenAI) -> None:
    assert ask(client, "a-refusal").choices[0].finish_reason == "content_filter"


def test_completions_are_not_something_it_does(client: openai.OpenAI, anthropic_upstream: AnthropicUpstream) -> None:
    before = len(anthropic_upstream.requests)
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=CLAUDE, prompt="x")
    assert caught.value.code == "unsupported_operation"
    assert len(anthropic_upstream.requests) == before
