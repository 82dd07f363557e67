"""The official openai SDK against a running server: text completions, embeddings, models."""

import base64
import math
import struct
from typing import Any

import msgspec
import openai
import pytest

from tests.support.server import Server

MODELS = ("chat", "fake")
SAID = {"chat": "One two three four five.", "fake": "one two three four five six seven eight nine ten"}


@pytest.mark.parametrize("model", MODELS)
def test_a_text_completion_whole_and_streamed(client: openai.OpenAI, model: str) -> None:
    whole = client.completions.create(model=model, prompt="Go on")
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == (SAID[model], "stop")
    assert whole.object == "text_completion"
    chunks = list(client.completions.create(model=model, prompt="Go on", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == SAID[model]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert not any(chunk.usage for chunk in chunks)
    *_, told = client.completions.create(
        model=model, prompt="Go on", stream=True, stream_options={"include_usage": True}
    )
    assert told.usage is not None
    assert told.usage.completion_tokens == len(SAID[model].split())


@pytest.mark.parametrize("model", MODELS)
def test_several_prompts_in_one_call(client: openai.OpenAI, model: str) -> None:
    answer = client.completions.create(model=model, prompt=["One", "Two", "Three"], n=2)
    assert [choice.index for choice in answer.choices] == list(range(6))
    tokens = client.completions.create(model="chat", prompt=[[1, 2, 3], [4, 5]])
    assert len(tokens.choices) == 2
    assert tokens.usage is not None
    assert tokens.usage.prompt_tokens == 5


def test_completions_without_a_stream_take_stop_and_max_tokens(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="fake", prompt="Go on", stop=" four")
    assert answer.choices[0].text == "one two three"
    answer = client.completions.create(model="fake", prompt="Go on", max_tokens=1)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("one", "length")


@pytest.mark.parametrize("model", MODELS)
def test_embeddings_as_the_sdk_asks_by_itself_are_those_it_gets_as_numbers(client: openai.OpenAI, model: str) -> None:
    texts = ["a text", "another, äöü", " "]
    by_default = client.embeddings.create(model=model, input=texts)
    as_numbers = client.embeddings.create(model=model, input=texts, encoding_format="float")
    assert [each.index for each in by_default.data] == [0, 1, 2]
    for one, other in zip(by_default.data, as_numbers.data, strict=True):
        assert len(one.embedding) == 16
        assert one.embedding == pytest.approx(other.embedding, rel=1e-6)
    assert by_default.data[0].embedding != by_default.data[1].embedding
    assert by_default.usage.prompt_tokens == by_default.usage.total_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_embeddings_in_base64_are_little_endian_floats_also_from_a_provider_that_sends_numbers(
    client: openai.OpenAI, server: Server, model: str
) -> None:
    """The Node SDK always asks this way, and makes an empty list of anything else without a word."""
    answer = client.embeddings.create(model=model, input="a text", encoding_format="base64")
    raw: object = answer.data[0].embedding  # text, whatever the SDK's type says
    assert isinstance(raw, str)
    numbers = client.embeddings.create(model=model, input="a text", encoding_format="float").data[0].embedding
    packed = base64.b64decode(raw, validate=True)
    assert struct.unpack(f"<{len(packed) // 4}f", packed) == pytest.approx(numbers, rel=1e-6)
    on_the_wire = server.ask("/v1/embeddings", json={"model": model, "input": "a text"}).json
    assert isinstance(on_the_wire["data"][0]["embedding"], list), "without encoding_format: numbers"


def test_embeddings_of_tokens_and_of_fewer_dimensions(client: openai.OpenAI) -> None:
    assert len(client.embeddings.create(model="chat", input=[1, 2, 3]).data) == 1
    assert len(client.embeddings.create(model="chat", input=[[1, 2], [3]]).data) == 2
    few = client.embeddings.create(model="chat", input="a text", dimensions=4).data[0].embedding
    assert len(few) == 4
    assert math.hypot(*few) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("given", [["x"] * 2049, [], "", ["x", ""], [[]], [1.5]])
def test_inputs_that_openai_refuses_are_refused(client: openai.OpenAI, given: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="chat", input=given)
    assert caught.value.param is not None
    assert caught.value.param.startswith("input")


def test_as_many_inputs_as_openai_takes_are_taken(client: openai.OpenAI) -> None:
    assert len(client.embeddings.create(model="chat", input=["x"] * 2048).data) == 2048


def test_models_are_listed_and_shown(client: openai.OpenAI) -> None:
    listed = list(client.models.list())
    assert [model.id for model in listed[:2]] == ["chat", "fake"]
    for model in listed:
        assert (model.object, model.owned_by != "", model.created > 1_600_000_000) == ("model", True, True)
    assert client.models.retrieve("fake").id == "fake"


def test_an_unknown_model_is_an_openai_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no/such/model")
    assert (caught.value.code, caught.value.param, caught.value.type) == (
        "model_not_found",
        "model",
        "invalid_request_error",
    )
    with pytest.raises(openai.NotFoundError, match="Did you mean 'chat'") as caught:
        client.chat.completions.create(model="chatt", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.code == "model_not_found"


def test_the_list_has_the_shape_of_the_specification(server: Server) -> None:
    told = msgspec.json.decode(server.ask("/v1/models").body)
    assert told["object"] == "list"
    assert all({"id", "object", "created", "owned_by"} <= set(model) for model in told["data"])
