"""The bundled models keep the promises of every provider."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.support.local_models import embedder, small_chat
from undercroft.llm.types import ChatRequest, CompletionRequest, EmbeddingsRequest, Message, Part, ResponseFormat
from undercroft.providers.local.chat import LocalChat
from undercroft.providers.local.embedder import LocalEmbedder
from undercroft.testing.providers import (
    Claim,
    Subject,
    chat_claims,
    check,
    completion_claims,
    embedding_claims,
    name_of,
)

IMAGE = Message(role="user", content=(Part(type="image_url", data={"url": "data:,"}),))
TOO_LONG = Message(role="user", content="fox " * 3000)
REFUSED_CHATS = (
    ChatRequest(model="local", messages=()),
    ChatRequest(model="local", messages=(IMAGE,)),
    ChatRequest(model="local", messages=(TOO_LONG,)),
    ChatRequest(model="local", messages=(TOO_LONG,), stream=True),
    ChatRequest(
        model="local",
        messages=(Message(role="user", content="Hi"),),
        response_format=ResponseFormat(type="json_schema", schema={"type": "nonsense"}),
    ),
)
REFUSED_TEXTS = (
    CompletionRequest(model="local", prompts=("",)),
    CompletionRequest(model="local", prompts=("Once",), echo=True),
    CompletionRequest(model="local", prompts=("Once",), suffix="end"),
    CompletionRequest(model="local", prompts=((-7,),)),
)
REFUSED_INPUTS = (
    EmbeddingsRequest(model="local-embedding", inputs=()),
    EmbeddingsRequest(model="local-embedding", inputs=("",)),
    EmbeddingsRequest(model="local-embedding", inputs=((1, 2, 3),)),
    EmbeddingsRequest(model="local-embedding", inputs=("fox " * 600,)),
    EmbeddingsRequest(model="local-embedding", inputs=("fox",), dimensions=385),
)


@pytest.fixture(scope="module")
def chat() -> Iterator[LocalChat]:
    model = small_chat()
    model.start()
    yield model
    asyncio.run(model.close())


@pytest.fixture(scope="module")
def embedding() -> Iterator[LocalEmbedder]:
    model = embedder()
    yield model
    asyncio.run(model.close())


def _subject(subject: Subject) -> AbstractAsyncContextManager[Subject]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Subject]:
        yield subject

    return opened()


@pytest.mark.parametrize("claim", chat_claims(), ids=name_of)
def test_the_local_model_chats_as_promised(claim: Claim, chat: LocalChat) -> None:
    subject = Subject(chat, running=lambda: chat.in_flight, refused=REFUSED_CHATS)
    check(claim, lambda: _subject(subject))


@pytest.mark.parametrize("claim", completion_claims(), ids=name_of)
def test_the_local_model_continues_text_as_promised(claim: Claim, chat: LocalChat) -> None:
    check(claim, lambda: _subject(Subject(chat, refused=REFUSED_TEXTS)))


@pytest.mark.parametrize("claim", embedding_claims(), ids=name_of)
def test_the_local_embedder_embeds_as_promised(claim: Claim, embedding: LocalEmbedder) -> None:
    check(claim, lambda: _subject(Subject(embedding, refused=REFUSED_INPUTS)))
