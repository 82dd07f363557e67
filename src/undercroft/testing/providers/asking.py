"""Asking a provider, and looking at what comes."""

import asyncio
from contextlib import aclosing

from undercroft.llm.provider import ChatProvider, CompletionProvider, EmbeddingProvider, ModerationProvider
from undercroft.llm.types import ChatRequest, Chunk, CompletionRequest, EmbeddingsRequest, ModerationRequest, Request
from undercroft.testing.providers.subject import Subject


def chat_provider(subject: Subject) -> ChatProvider:
    expect(isinstance(subject.provider, ChatProvider), f"{subject.provider!r} is no ChatProvider")
    assert isinstance(subject.provider, ChatProvider)
    return subject.provider


async def answer_of(subject: Subject, request: Request) -> Chunk:
    """The whole answer, whichever kind of call it is."""
    provider = subject.provider
    match request:
        case ChatRequest():
            return await (await chat_provider(subject).send(request)).read()
        case CompletionRequest():
            assert isinstance(provider, CompletionProvider), f"{provider!r} is no CompletionProvider"
            return await (await provider.complete(request)).read()
        case EmbeddingsRequest():
            assert isinstance(provider, EmbeddingProvider), f"{provider!r} is no EmbeddingProvider"
            return await (await provider.embed(request)).read()
        case ModerationRequest():
            assert isinstance(provider, ModerationProvider), f"{provider!r} is no ModerationProvider"
            return await (await provider.moderate(request)).read()


async def stream_of(subject: Subject, request: ChatRequest | CompletionRequest) -> list[Chunk]:
    if isinstance(request, ChatRequest):
        reply = await chat_provider(subject).send(request)
    else:
        assert isinstance(subject.provider, CompletionProvider), f"{subject.provider!r} is no CompletionProvider"
        reply = await subject.provider.complete(request)
    async with aclosing(reply.chunks) as chunks:
        return [chunk async for chunk in chunks]


def expect_ended_once(chunks: list[Chunk], *, choices: int) -> None:
    ended: dict[int, int] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            said = choice.text or choice.tool_calls or choice.refusal
            expect(not (said and choice.index in ended), f"choice {choice.index} went on after its finish reason")
            if choice.finish_reason is not None:
                ended[choice.index] = ended.get(choice.index, 0) + 1
    expect(
        ended == dict.fromkeys(range(choices), 1), f"finish reasons per choice: {ended}, {choices} choices asked for"
    )


async def expect_quiet(subject: Subject) -> None:
    """The upstream's running answers go down to none within a second."""
    if subject.running is None:
        return
    for _ in range(100):
        if subject.running() == 0:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{subject.running()} answers still run a second after the reply was closed")


def expect(condition: bool, sentence: str) -> None:
    if not condition:
        raise AssertionError(sentence)
