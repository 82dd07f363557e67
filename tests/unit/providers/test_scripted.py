import asyncio
from contextlib import aclosing

import pytest

from tests.support.clock import ManualClock
from undercroft.errors import ConfigurationError, InvalidRequest, UpstreamOverloaded
from undercroft.llm.types import ChatRequest, Chunk, CompletionRequest, EmbeddingsRequest, Message, Request, Sampling
from undercroft.providers.scripted import Line, Script, Scripted
from undercroft.record import Usage


def asked(
    prompt: str = "say something nice", *, stream: bool = False, **sampling: int | tuple[str, ...]
) -> ChatRequest:
    return ChatRequest(
        model="demo",
        messages=(Message(role="user", content=prompt),),
        stream=stream,
        sampling=Sampling(**sampling),  # type: ignore[arg-type]  # values of several types by name
    )


async def answer(provider: Scripted, request: ChatRequest) -> Chunk:
    return await (await provider.send(request)).read()


def scripted(script: Script, *, chunk_delay_s: float = 0.0, clock: ManualClock | None = None) -> Scripted:
    return Scripted(script, chunk_delay_s=chunk_delay_s, clock=clock or ManualClock())


def test_the_script_is_said_word_by_word() -> None:
    async def scenario() -> None:
        reply = await scripted("You look  well.\n").send(asked(stream=True))
        async with aclosing(reply.chunks) as chunks:
            texts = [chunk.text() async for chunk in chunks]
        assert texts == ["You", " look", "  well.", "\n", ""]

    asyncio.run(scenario())


def test_words_are_counted_as_tokens() -> None:
    for stream in (False, True):
        told = asyncio.run(answer(scripted("You look well."), asked(stream=stream, n=2)))
        assert told.usage == Usage(input=3, output=6)
        assert told.model == "demo"


def test_lines_are_said_one_after_another_and_errors_raised() -> None:
    async def scenario() -> None:
        provider = scripted([UpstreamOverloaded("busy"), "one", "two"])
        with pytest.raises(UpstreamOverloaded):
            await provider.send(asked())
        assert [(await answer(provider, asked())).text() for _ in range(3)] == ["one", "two", "two"]

    asyncio.run(scenario())


def test_a_script_may_look_at_the_request() -> None:
    def echo(request: Request) -> Line:
        assert isinstance(request, ChatRequest)
        return request.messages[-1].text().upper()

    assert asyncio.run(answer(scripted(echo), asked("hello"))).text() == "HELLO"


def test_an_empty_script_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        scripted([])


def test_pieces_keep_their_distance() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        provider = scripted("one two three", chunk_delay_s=0.5, clock=clock)
        reading = asyncio.create_task(answer(provider, asked(stream=True)))
        for _ in range(3):
            await asyncio.sleep(0)
            assert not reading.done()
            clock.advance(0.5)
        assert (await reading).text() == "one two three"

    asyncio.run(scenario())


def test_each_prompt_of_a_completion_is_continued() -> None:
    async def scenario() -> None:
        request = CompletionRequest(model="demo", prompts=("a b", (1, 2, 3)), sampling=Sampling(n=2))
        told = await (await scripted("and on").complete(request)).read()
        assert [choice.text for choice in told.choices] == ["and on"] * 4
        assert told.usage == Usage(input=5, output=8)

    asyncio.run(scenario())


def test_vectors_come_from_the_text_alone_and_have_length_one() -> None:
    async def embedded(*texts: str, dimensions: int | None = None) -> list[list[float]]:
        request = EmbeddingsRequest(model="demo", inputs=texts, dimensions=dimensions)
        told = await (await scripted("x").embed(request)).read()
        return [[float(number) for number in vector] for vector in told.vectors]

    cat, dog = asyncio.run(embedded("cat", "dog"))
    assert asyncio.run(embedded("dog")) == [dog]
    assert cat != dog
    assert sum(number * number for number in cat) == pytest.approx(1.0)
    assert len(asyncio.run(embedded("cat", dimensions=3))[0]) == 3
    with pytest.raises(InvalidRequest):
        asyncio.run(embedded("cat", dimensions=100_000))
