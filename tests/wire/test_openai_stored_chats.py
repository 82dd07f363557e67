"""The official openai SDK against a running server: chat completions that were stored."""

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam as Message

MESSAGES: list[Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Say something."}]},
]
MODELS = ("chat", "fake")


@pytest.fixture(autouse=True)
def nothing_stored(client: openai.OpenAI) -> None:
    for kept in client.chat.completions.list():
        client.chat.completions.delete(kept.id)


@pytest.mark.parametrize("model", MODELS)
def test_a_stored_answer_comes_back_as_it_was(client: openai.OpenAI, model: str) -> None:
    said = client.chat.completions.create(model=model, messages=MESSAGES, store=True, metadata={"who": "me"})
    kept = client.chat.completions.retrieve(said.id)
    assert kept.choices == said.choices
    assert (kept.usage, kept.model, kept.created) == (said.usage, said.model, said.created)
    assert (kept.metadata, kept.model_extra) == ({"who": "me"}, said.model_extra)


@pytest.mark.parametrize("model", MODELS)
def test_a_stored_stream_comes_back_whole(client: openai.OpenAI, model: str) -> None:
    chunks = list(client.chat.completions.create(model=model, messages=MESSAGES, store=True, stream=True))
    kept = client.chat.completions.retrieve(chunks[0].id)
    assert kept.object == "chat.completion"
    assert kept.choices[0].message.content == "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert kept.choices[0].finish_reason == "stop"
    assert kept.usage is not None
    assert kept.usage.completion_tokens > 0


def test_what_was_not_asked_to_be_stored_is_not(client: openai.OpenAI) -> None:
    for more in ({}, {"store": False}):
        said = client.chat.completions.create(model="chat", messages=MESSAGES, **more)  # type: ignore[call-overload]
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.retrieve(said.id)
        assert caught.value.code == "not_found"
    assert list(client.chat.completions.list()) == []


def test_a_stream_that_breaks_is_not_stored(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="cut-stream", messages=MESSAGES, store=True, stream=True))
    assert list(client.chat.completions.list()) == []


def test_the_messages_of_a_stored_answer(client: openai.OpenAI) -> None:
    said = client.chat.completions.create(model="chat", messages=MESSAGES, store=True)
    first, second = client.chat.completions.messages.list(said.id)
    assert (first.id, first.role, first.content) == (f"{said.id}-0", "system", "Be brief.")
    assert second.content is None
    assert second.content_parts is not None
    assert second.content_parts[0].model_dump(exclude_none=True) == {"type": "text", "text": "Say something."}
    assert [each.id for each in client.chat.completions.messages.list(said.id, limit=1)] == [first.id, second.id]
    assert [each.id for each in client.chat.completions.messages.list(said.id, order="desc")] == [second.id, first.id]


def test_the_list_pages_and_filters(client: openai.OpenAI) -> None:
    made = [
        client.chat.completions.create(model="chat", messages=MESSAGES, store=True, metadata={"n": str(number % 2)}).id
        for number in range(5)
    ]
    assert [each.id for each in client.chat.completions.list(limit=2)] == made, "the SDK reads all pages"
    assert [each.id for each in client.chat.completions.list(order="desc")] == made[::-1]
    assert [each.id for each in client.chat.completions.list(metadata={"n": "1"})] == made[1::2]
    assert [each.id for each in client.chat.completions.list(model="chat")] == made
    assert list(client.chat.completions.list(model="nobody")) == []
    for wrong in ({"limit": 0}, {"limit": 101}, {"after": "chatcmpl-nobody"}, {"order": "sideways"}):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.list(**wrong)
        assert caught.value.param in wrong


def test_labels_are_replaced_and_an_answer_deleted(client: openai.OpenAI) -> None:
    said = client.chat.completions.create(model="chat", messages=MESSAGES, store=True, metadata={"old": "1"})
    changed = client.chat.completions.update(said.id, metadata={"new": "2"})
    assert changed.metadata == {"new": "2"}
    assert client.chat.completions.retrieve(said.id) == changed
    assert client.chat.completions.delete(said.id).deleted
    for attempt in (
        client.chat.completions.retrieve,
        client.chat.completions.delete,
        client.chat.completions.messages.list,
    ):
        with pytest.raises(openai.NotFoundError):
            attempt(said.id)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.update(said.id, metadata={})


@pytest.mark.parametrize("metadata", [{"k" * 65: "v"}, {"k": "v" * 513}, {str(n): "v" for n in range(17)}, {"k": 1}])
def test_labels_have_openais_limits(client: openai.OpenAI, metadata: dict[str, str]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="chat", messages=MESSAGES, store=True, metadata=metadata)
    assert caught.value.param is not None
    assert caught.value.param.startswith("metadata")
