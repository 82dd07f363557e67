"""The official openai SDK against the bundled models: a server without a configuration, as `make run` starts it."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import numpy as np
import openai
import pytest
from pydantic import BaseModel

from tests.support.local_models import weights
from tests.support.server import Server, serving

CAPITAL: Any = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class City(BaseModel):
    name: str
    inhabitants: int


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    installed = weights()
    extra = {"UNDERCROFT_MODELS_DIR": str(installed.folder), "UNDERCROFT_LOCAL__CONTEXT_TOKENS": "4096"}
    with serving(tmp_path_factory.mktemp("bundled"), toml="", extra=extra) as running:
        yield running


@pytest.fixture
def client(bundled: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{bundled.url}/v1", api_key="sk-anything", max_retries=0, timeout=120) as made:
        yield made


def test_it_knows_the_capital_of_france_whatever_model_is_named(client: openai.OpenAI, bundled: Server) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt-5-mini", messages=CAPITAL, temperature=0)
    answer = raw.parse()
    assert "Paris" in (answer.choices[0].message.content or "")
    assert raw.headers["x-undercroft-model-substituted"] == "gpt-5-mini"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0
    told = bundled.ask("/api/generate?prompt=What+is+the+capital+of+France%3F", method="POST").json
    assert "Paris" in told["result"]
    assert told["cost"] == "0"
    assert "x-undercroft-model-substituted" not in bundled.chat(model="local", max_tokens=1).headers


def test_it_streams_as_it_speaks(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="local",
        messages=CAPITAL,
        stream=True,
        max_tokens=12,
        temperature=0,
        stream_options={"include_usage": True},
    )
    *chunks, last = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert len(pieces) > 3
    assert "Paris" in "".join(pieces)
    assert last.usage is not None
    assert last.usage.completion_tokens <= 12


def test_a_schema_is_kept(client: openai.OpenAI) -> None:
    asked: Any = [{"role": "user", "content": "Paris has two million inhabitants."}]
    answer = client.chat.completions.parse(model="local", messages=asked, response_format=City, max_tokens=80, seed=1)
    assert isinstance(answer.choices[0].message.parsed, City)


def test_a_required_tool_is_called(client: openai.OpenAI) -> None:
    asked: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
    for stream in (False, True):
        given: Any = {"model": "local", "messages": asked, "tools": [WEATHER], "tool_choice": "required", "seed": 1}
        if stream:
            with client.chat.completions.stream(**given) as events:
                answer: Any = events.get_final_completion()
        else:
            answer = client.chat.completions.create(**given)
        (call,) = answer.choices[0].message.tool_calls
        assert call.function.name == "get_weather"
        assert isinstance(json.loads(call.function.arguments)["city"], str)
        assert answer.choices[0].finish_reason == "tool_calls"


def test_logprobs_and_two_choices(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="local", messages=CAPITAL, n=2, logprobs=True, top_logprobs=2, max_tokens=4, temperature=1.0
    )
    assert len(answer.choices) == 2
    for choice in answer.choices:
        assert choice.logprobs is not None
        assert choice.logprobs.content
        for token in choice.logprobs.content:
            assert token.logprob <= 0
            assert len(token.top_logprobs) == 2


def test_a_text_is_continued(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="local", prompt=["One, two, three,", "Monday, Tuesday,"], max_tokens=4, temperature=0
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert "four" in answer.choices[0].text
    assert answer.choices[1].text


def test_its_embeddings_know_what_is_alike(client: openai.OpenAI) -> None:
    texts = ["A cat sat on the mat.", "A kitten rested on the carpet.", "The court adjourned the trial."]
    cat, kitten, court = (
        np.array(each.embedding) for each in client.embeddings.create(model="local-embedding", input=texts).data
    )
    assert cat @ kitten > cat @ court + 0.2
    assert np.linalg.norm(cat) == pytest.approx(1.0, rel=1e-3)
    few = client.embeddings.create(model="local-embedding", input=texts[0], dimensions=32).data[0].embedding
    assert len(few) == 32
    assert np.linalg.norm(few) == pytest.approx(1.0, rel=1e-3)


def test_what_it_cannot_do_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="local", input="x")
    assert caught.value.param == "model"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="local", messages=[{"role": "user", "content": "word " * 4000}])
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="local", prompt="One", echo=True)
    assert caught.value.param == "echo"


def test_the_list_says_that_it_is_for_demonstration(client: openai.OpenAI) -> None:
    models = {model.id: model for model in client.models.list()}
    assert set(models) == {"local", "local-embedding", "local-moderation"}
    assert "demo" in getattr(models["local"], "quality", "")


MESSAGES_WEATHER: Any = {
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "input_schema": WEATHER["function"]["parameters"],
}


@pytest.fixture
def messages(bundled: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=bundled.url, api_key="sk-anything", max_retries=0, timeout=120) as made:
        yield made


def test_it_answers_anthropics_sdk_too(messages: anthropic.Anthropic) -> None:
    extra: Any = {"temperature": 0}
    answer: Any = messages.messages.create(model="claude-haiku-5-5", max_tokens=24, messages=CAPITAL, extra_body=extra)
    assert "Paris" in answer.content[0].text
    with messages.messages.stream(model="local", max_tokens=24, messages=CAPITAL, extra_body=extra) as stream:
        pieces = list(stream.text_stream)
        final: Any = stream.get_final_message()
    assert len(pieces) > 3
    assert "".join(pieces) == final.content[0].text == answer.content[0].text
    assert (final.usage.input_tokens, final.usage.output_tokens) == (
        answer.usage.input_tokens, answer.usage.output_tokens,
    )  # fmt: skip


def test_it_calls_a_tool_in_anthropics_format(messages: anthropic.Anthropic) -> None:
    answer: Any = messages.messages.create(
        model="local",
        max_tokens=64,
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[MESSAGES_WEATHER],
        tool_choice={"type": "any"},
    )
    (call,) = answer.content
    assert (call.type, call.name, answer.stop_reason) == ("tool_use", "get_weather", "tool_use")
    assert set(call.input) == {"city"}


def test_a_tool_of_a_providers_own_is_refused(messages: anthropic.Anthropic) -> None:
    search: Any = {"type": "web_search_20260318", "name": "web_search"}
    with pytest.raises(anthropic.BadRequestError, match="web_search"):
        messages.messages.create(model="local", max_tokens=8, messages=CAPITAL, tools=[search])
