"""Providers with formats and quirks of their own, asked by OpenAI's SDK through a running server."""

import json
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
)
from pydantic import BaseModel

from tests.support import azure_upstream, gemini_upstream
from tests.support.azure_upstream import AzureUpstream
from tests.support.background import upstream_in_background
from tests.support.gemini_upstream import GeminiUpstream
from tests.support.server import Server, serving, until
from tests.support.upstream import Upstream

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Count to ten."}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


class Person(BaseModel):
    """What is asked for."""

    name: str
    age: int


@pytest.fixture(scope="module")
def plain() -> Iterator[Upstream]:
    with upstream_in_background() as running:
        yield running


@pytest.fixture(scope="module")
def server(plain: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    def model(name: str, provider: str, base_url: str, *lines: str, drop: bool = False) -> str:
        head = f'[[models]]\nname = "{name}"\ndrop_unsupported = {str(drop).lower()}\n[[models.deployments]]\n'
        price = 'price = { input = "1", output = "2" }'
        return head + "\n".join([f'provider = "{provider}"', f'base_url = "{base_url}"', price, *lines, ""])

    with (
        upstream_in_background(GeminiUpstream()) as gemini,
        upstream_in_background(AzureUpstream()) as azure,
    ):
        google, key = gemini.base_url, 'api_key = "env:GOOGLE"'
        toml = "".join(
            [
                model("gemini", "gemini", google, 'model = "gemini-2.5-flash"', key),
                model("embedding", "gemini", google, 'model = "gemini-embedding-001"', key),
                *(model(name, "gemini", google, key) for name in ("exhausted", "cut-stream", "blocked-prompt")),
                model("azure", "azure", azure.origin_url, 'model = "mine"', 'api_key = "env:AZURE"'),
                model("strict", "groq", plain.base_url),
                model("lenient", "groq", plain.base_url, drop=True),
            ]
        )
        folder = tmp_path_factory.mktemp("translated")
        keys = {"GOOGLE": gemini_upstream.KEY, "AZURE": azure_upstream.KEY}
        with serving(folder, toml=toml, extra=keys) as running:
            until(lambda: running.chat(model="azure").status == 200)
            yield running


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="sk-anything", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("model", ["gemini", "azure", "lenient"])
def test_a_conversation_is_continued_whole_and_streamed(client: openai.OpenAI, model: str) -> None:
    whole = client.chat.completions.create(model=model, messages=HI)
    assert whole.choices[0].message.content == "one two three four five six seven eight nine ten"
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (7, 10)

    stream = client.chat.completions.create(
        model=model, messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == whole.choices[0].message.content
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None or model == "lenient"


def test_no_chunk_without_choices_comes_unasked(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="azure", messages=HI, stream=True))
    assert all(chunk.choices for chunk in chunks)
    assert chunks[0].model_extra is not None
    assert chunks[0].model_extra["prompt_filter_results"]


def the_call(completion: ChatCompletion) -> ChatCompletionMessageFunctionToolCall:
    calls = completion.choices[0].message.tool_calls
    assert calls is not None
    (call,) = calls
    assert call.type == "function"
    return call


def test_tools_are_called_streamed_too(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(
        model="gemini",
        messages=HI,
        tools=[WEATHER],
        tool_choice="required",
    )
    call = the_call(whole)
    assert json.loads(call.function.arguments) == gemini_upstream.WEATHER
    with client.chat.completions.stream(
        model="gemini",
        messages=HI,
        tools=[WEATHER],
        tool_choice="required",
    ) as stream:
        streamed = the_call(stream.get_final_completion())
    assert (streamed.id, streamed.function.arguments) == (call.id, call.function.arguments)


def test_a_shape_is_obeyed(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model="gemini", messages=HI, response_format=Person)
    assert parsed.choices[0].message.parsed == Person(name="Ada", age=36)


def test_thoughts_come_as_reasoning_content(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="gemini", messages=HI, reasoning_effort="low")
    assert whole.choices[0].message.model_extra is not None
    assert whole.choices[0].message.model_extra["reasoning_content"] == "Let me see."
    assert whole.usage is not None
    assert whole.usage.completion_tokens_details is not None
    assert whole.usage.completion_tokens_details.reasoning_tokens == 5


def test_texts_become_vectors(client: openai.OpenAI) -> None:
    told = client.embeddings.create(model="embedding", input=["aab", "b"])
    assert [row.embedding[:2] for row in told.data] == [[2.0, 1.0], [0.0, 1.0]]


def test_a_blocked_prompt_is_a_filtered_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="blocked-prompt", messages=HI)
    assert whole.choices[0].finish_reason == "content_filter"


def test_a_quota_says_when_to_come_back(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.with_options(timeout=120).chat.completions.create(model="exhausted", messages=HI)
    assert caught.value.response.headers["retry-after"] == "35"


def test_a_cut_stream_never_ends_cleanly(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="cut-stream", messages=HI, stream=True)
    with pytest.raises(openai.APIError, match="broke off"):
        list(stream)


def test_what_a_service_cannot_do_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="strict", messages=HI, n=2)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "n")


@pytest.mark.parametrize("stream", [False, True])
def test_or_left_out_and_told_in_a_header(client: openai.OpenAI, plain: Upstream, stream: bool) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model="lenient", messages=HI, n=2, logit_bias={"5": 1}, stream=stream
    )
    assert answer.headers["x-undercroft-dropped"] == "logit_bias, n"
    assert not {"n", "logit_bias"} & plain.requests[-1].json.keys()


def test_nothing_left_out_is_not_told(client: openai.OpenAI) -> None:
    answer = client.chat.completions.with_raw_response.create(model="lenient", messages=HI, n=1)
    assert "x-undercroft-dropped" not in answer.headers
