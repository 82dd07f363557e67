"""What every model provider owes, as claims that any implementation can be run against.

    @pytest.mark.parametrize("claim", chat_claims(Abilities(tools=False)), ids=name_of)
    def test_my_provider(claim: Claim) -> None:
        check(claim, open_subject)      # an async context manager that yields a Subject

A claim raises AssertionError with a sentence that says what was promised and what came instead.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from undercroft.errors import InvalidRequest, Unavailable, UndercroftError, UpstreamError
from undercroft.llm.provider import ChatProvider, CompletionProvider, EmbeddingProvider, ModerationProvider
from undercroft.llm.types import (
    ChatRequest,
    Chunk,
    CompletionRequest,
    EmbeddingsRequest,
    Message,
    ModerationRequest,
    Request,
    ResponseFormat,
    Sampling,
    Tool,
    ToolChoice,
)

ALLOWED_ERRORS = (UpstreamError, InvalidRequest, Unavailable)
PATIENCE_S = 30.0
"""How long one claim may take before it counts as broken: hanging is a fault like any other."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the provider can do; claims about anything else are left out."""

    pieces: bool = True
    """Long answers come in several chunks when streamed."""
    usage: bool = True
    """Tokens are told for whole and streamed answers."""
    limits: bool = True
    """`max_tokens` cuts the answer and the finish reason says `length`."""
    stops: bool = True
    """`stop` ends the answer before the sequence."""
    choices: bool = True
    """`n` gives that many choices."""
    tools: bool = True
    """`tool_choice: required` gives a tool call."""
    schemas: bool = True
    """`response_format: json_schema` is obeyed."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A provider under test and what to ask it."""

    provider: object
    model: str = "test"
    prompt: str = "Count from one to ten in words."
    """Gives an answer of several words."""
    long_prompt: str = "Write a very long story about a lighthouse."
    """Gives an answer that is still running after a second piece."""
    flagged: str = "I will kill you."
    """A text that a moderation flags."""
    stop_word: str = " "
    """Surely part of the answer to `prompt`, but not its beginning."""
    running: Callable[[], int] | None = None
    """How many answers the upstream is generating now; lets the suite see that a closed reply stopped its upstream."""
    refused: tuple[Request, ...] = ()
    """Requests the provider must refuse or fail at, with an allowed error."""


Claim = Callable[[Subject], Coroutine[Any, Any, None]]


def check(claim: Claim, open_subject: Callable[[], AbstractAsyncContextManager[Subject]]) -> None:
    """Runs one claim in a loop of its own, with a time limit."""

    async def run() -> None:
        async with open_subject() as subject:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await claim(subject)
            except TimeoutError as error:
                raise AssertionError(f"{name_of(claim)}: nothing came for {PATIENCE_S:.0f} s") from error

    asyncio.run(run())


def name_of(claim: Claim) -> str:
    """A claim's name, for test ids."""
    return getattr(claim, "__name__", repr(claim))


def chat_claims(abilities: Abilities = Abilities()) -> list[Claim]:
    """What a ChatProvider of these abilities owes."""
    return [
        a_whole_answer_has_text_and_ends,
        a_stream_ends_each_choice_once,
        a_stream_and_a_whole_answer_are_both_read_by_reply_read,
        *([long_streams_come_in_pieces] if abilities.pieces else []),
        *([usage_is_told_either_way] if abilities.usage else []),
        *([max_tokens_cuts_the_answer] if abilities.limits else []),
        *([a_stop_sequence_ends_the_answer_before_it] if abilities.stops else []),
        *([every_choice_asked_for_is_given] if abilities.choices else []),
        *([a_required_tool_is_called, a_required_tool_is_called_in_a_stream] if abilities.tools else []),
        *([a_schema_is_obeyed] if abilities.schemas else []),
        a_closed_reply_stops_its_upstream,
        a_reply_can_be_closed_before_it_is_read,
        a_cancelled_call_leaves_nothing_running,
        several_calls_run_at_once,
        errors_are_of_the_allowed_kinds,
    ]


def completion_claims(abilities: Abilities = Abilities()) -> list[Claim]:
    """What a CompletionProvider of these abilities owes."""
    return [
        a_prompt_is_continued,
        a_continuation_can_be_streamed,
        *([every_prompt_gets_its_choices] if abilities.choices else []),
        errors_are_of_the_allowed_kinds,
    ]


def moderation_claims() -> list[Claim]:
    """What a ModerationProvider owes."""
    return [
        every_input_gets_a_verdict_in_order,
        a_verdict_is_made_of_categories_and_scores,
        the_same_text_gets_the_same_verdict,
        errors_are_of_the_allowed_kinds,
    ]


def embedding_claims() -> list[Claim]:
    """What an EmbeddingProvider owes."""
    return [
        every_input_gets_a_vector_in_order,
        vectors_are_float32_of_one_width,
        embedding_several_at_once_changes_nothing,
        errors_are_of_the_allowed_kinds,
    ]


# --- chat -------------------------------------------------------------------------------------------------------------


async def a_whole_answer_has_text_and_ends(subject: Subject) -> None:
    answer = await _answer(subject, _chat(subject))
    _expect(len(answer.choices) == 1, f"one choice was asked for, {len(answer.choices)} came")
    _expect(answer.text() != "", "the answer has no text")
    _expect(answer.choices[0].finish_reason in ("stop", "length"), f"it ended with {answer.choices[0].finish_reason!r}")
    _expect(answer.choices[0].role == "assistant", f"its role is {answer.choices[0].role!r}")


async def a_stream_ends_each_choice_once(subject: Subject) -> None:
    chunks = await _stream(subject, _chat(subject, stream=True))
    _expect("".join(chunk.text() for chunk in chunks) != "", "the stream has no text")
    _expect_ended_once(chunks, choices=1)


async def a_stream_and_a_whole_answer_are_both_read_by_reply_read(subject: Subject) -> None:
    for stream in (False, True):
        answer = await _answer(subject, _chat(subject, stream=stream))
        _expect(answer.text() != "", f"no text with stream={stream}")
        _expect(answer.choices[0].finish_reason is not None, f"no finish reason with stream={stream}")


async def long_streams_come_in_pieces(subject: Subject) -> None:
    chunks = await _stream(subject, _chat(subject, subject.long_prompt, stream=True, max_tokens=24))
    pieces = [chunk for chunk in chunks if chunk.text()]
    _expect(len(pieces) > 2, f"{len(pieces)} pieces of text came")


async def usage_is_told_either_way(subject: Subject) -> None:
    for stream in (False, True):
        answer = await _answer(subject, _chat(subject, stream=stream, include_usage=stream))
        usage = answer.usage
        _expect(usage is not None, f"no usage with stream={stream}")
        assert usage is not None
        _expect(usage.input > 0 and usage.output > 0, f"usage is {usage} with stream={stream}")
        _expect(usage.cache_read <= usage.input, f"more tokens from the cache than in the prompt: {usage}")


async def max_tokens_cuts_the_answer(subject: Subject) -> None:
    for stream in (False, True):
        answer = await _answer(subject, _chat(subject, subject.long_prompt, stream=stream, max_tokens=3))
        _expect(answer.choices[0].finish_reason == "length", f"it ended with {answer.choices[0].finish_reason!r}")
        _expect(answer.usage is None or answer.usage.output <= 3, f"usage is {answer.usage}")


async def a_stop_sequence_ends_the_answer_before_it(subject: Subject) -> None:
    whole = await _answer(subject, _chat(subject))
    _expect(subject.stop_word in whole.text()[1:], f"the answer {whole.text()!r} lacks the stop word")
    for stream in (False, True):
        answer = await _answer(subject, _chat(subject, stream=stream, stop=(subject.stop_word,)))
        _expect(subject.stop_word not in answer.text(), f"{answer.text()!r} holds the stop sequence")
        _expect(answer.choices[0].finish_reason == "stop", f"it ended with {answer.choices[0].finish_reason!r}")


async def every_choice_asked_for_is_given(subject: Subject) -> None:
    answer = await _answer(subject, _chat(subject, n=2))
    _expect([choice.index for choice in answer.choices] == [0, 1], f"choices are {answer.choices}")
    _expect(all(choice.finish_reason for choice in answer.choices), "a choice has no finish reason")
    _expect_ended_once(await _stream(subject, _chat(subject, n=2, stream=True)), choices=2)


def _tool_request(subject: Subject, *, stream: bool) -> ChatRequest:
    weather = Tool(
        name="get_weather",
        description="The weather in a city.",
        parameters={
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 40}},
            "required": ["city"],
            "additionalProperties": False,
        },
    )
    return msgspec.structs.replace(
        _chat(subject, "What is the weather in Paris?", stream=stream, max_tokens=128),
        tools=(weather,),
        tool_choice=ToolChoice(mode="required"),
    )


async def a_required_tool_is_called(subject: Subject) -> None:
    _expect_weather_call(await _answer(subject, _tool_request(subject, stream=False)))


async def a_required_tool_is_called_in_a_stream(subject: Subject) -> None:
    chunks = await _stream(subject, _tool_request(subject, stream=True))
    _expect_ended_once(chunks, choices=1)
    _expect_weather_call(await _answer(subject, _tool_request(subject, stream=True)))


def _expect_weather_call(answer: Chunk) -> None:
    choice = answer.choices[0]
    _expect(choice.finish_reason == "tool_calls", f"it ended with {choice.finish_reason!r}")
    _expect(len(choice.tool_calls) >= 1, "no tool was called")
    call = choice.tool_calls[0]
    _expect(bool(call.id), "the call has no id")
    _expect(call.name == "get_weather", f"{call.name!r} was called")
    arguments = msgspec.json.decode(call.arguments)
    _expect(isinstance(arguments, dict) and "city" in arguments, f"arguments are {call.arguments!r}")


async def a_schema_is_obeyed(subject: Subject) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 40}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    request = msgspec.structs.replace(
        _chat(subject, "Give a person named Ada, aged 36, as JSON.", max_tokens=128),
        response_format=ResponseFormat(type="json_schema", name="person", schema=schema, strict=True),
    )
    text = (await _answer(subject, request)).text()
    value = msgspec.json.decode(text)
    _expect(isinstance(value, dict) and set(value) == {"name", "age"}, f"the answer is {text!r}")
    _expect(isinstance(value["name"], str) and isinstance(value["age"], int), f"the answer is {text!r}")


async def a_closed_reply_stops_its_upstream(subject: Subject) -> None:
    reply = await _chat_provider(subject).send(_chat(subject, subject.long_prompt, stream=True, max_tokens=None))
    seen = 0
    async with aclosing(reply.chunks) as chunks:
        async for _ in chunks:
            seen += 1
            if seen == 2:
                break
    await _expect_quiet(subject)
    await a_whole_answer_has_text_and_ends(subject)


async def a_reply_can_be_closed_before_it_is_read(subject: Subject) -> None:
    reply = await _chat_provider(subject).send(_chat(subject, subject.long_prompt, stream=True, max_tokens=None))
    await reply.chunks.aclose()
    await _expect_quiet(subject)


async def a_cancelled_call_leaves_nothing_running(subject: Subject) -> None:
    async def read() -> None:
        await _answer(subject, _chat(subject, subject.long_prompt, max_tokens=None))

    task = asyncio.create_task(read())
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await _expect_quiet(subject)


async def several_calls_run_at_once(subject: Subject) -> None:
    answers = await asyncio.gather(*(_answer(subject, _chat(subject, stream=index % 2 == 0)) for index in range(6)))
    _expect(all(answer.text() for answer in answers), "an answer is empty")
    _expect(all(answer.choices[0].finish_reason for answer in answers), "an answer has no end")


async def errors_are_of_the_allowed_kinds(subject: Subject) -> None:
    for request in subject.refused:
        try:
            answer = await _answer(subject, request)
        except ALLOWED_ERRORS as error:
            _expect(bool(error.message), "the error says nothing")
        except UndercroftError as error:
            raise AssertionError(f"{type(error).__name__} is not for a provider to raise") from error
        else:
            raise AssertionError(f"{request} was answered with {answer.choices or answer.vectors or answer.verdicts}")


# --- completions ------------------------------------------------------------------------------------------------------


async def a_prompt_is_continued(subject: Subject) -> None:
    answer = await _answer(subject, _completion(subject, subject.prompt))
    _expect(answer.text() != "", "the continuation is empty")
    _expect(answer.choices[0].finish_reason in ("stop", "length"), f"it ended with {answer.choices[0].finish_reason!r}")


async def a_continuation_can_be_streamed(subject: Subject) -> None:
    chunks = await _stream(subject, _completion(subject, subject.prompt, stream=True))
    _expect("".join(chunk.text() for chunk in chunks) != "", "the stream has no text")
    _expect_ended_once(chunks, choices=1)


async def every_prompt_gets_its_choices(subject: Subject) -> None:
    answer = await _answer(subject, _completion(subject, subject.prompt, subject.long_prompt, n=2))
    _expect([choice.index for choice in answer.choices] == [0, 1, 2, 3], f"choices are {answer.choices}")
    _expect(all(choice.finish_reason for choice in answer.choices), "a choice has no finish reason")


# --- embeddings -------------------------------------------------------------------------------------------------------

_TEXTS = ("A cat sits on the mat.", "Stock prices fell sharply today.", "A kitten lies on the rug.")


async def every_input_gets_a_vector_in_order(subject: Subject) -> None:
    together = await _answer(subject, EmbeddingsRequest(model=subject.model, inputs=_TEXTS))
    _expect(len(together.vectors) == len(_TEXTS), f"{len(together.vectors)} vectors for {len(_TEXTS)} inputs")
    for position, text in enumerate(_TEXTS):
        alone = (await _answer(subject, EmbeddingsRequest(model=subject.model, inputs=(text,)))).vectors[0]
        likeness = [_cosine(alone, vector) for vector in together.vectors]
        _expect(likeness.index(max(likeness)) == position, f"input {position} came back as {likeness}")


async def vectors_are_float32_of_one_width(subject: Subject) -> None:
    answer = await _answer(subject, EmbeddingsRequest(model=subject.model, inputs=_TEXTS))
    _expect(all(vector.format == "f" for vector in answer.vectors), "a vector is not a memoryview of format 'f'")
    _expect(len({len(vector) for vector in answer.vectors}) == 1, "vectors differ in width")
    _expect(answer.usage is not None and answer.usage.input > 0, f"usage is {answer.usage}")


async def embedding_several_at_once_changes_nothing(subject: Subject) -> None:
    request = EmbeddingsRequest(model=subject.model, inputs=_TEXTS[:1])
    answers = await asyncio.gather(*(_answer(subject, request) for _ in range(4)))
    _expect(len({bytes(answer.vectors[0]) for answer in answers}) == 1, "the same input gave different vectors")


def _cosine(left: memoryview, right: memoryview) -> float:
    def dot(one: Sequence[float], other: Sequence[float]) -> float:
        return sum(x * y for x, y in zip(one, other, strict=True))

    a, b = left.tolist(), right.tolist()
    return dot(a, b) / ((dot(a, a) * dot(b, b)) ** 0.5 or 1.0)


# --- moderations ------------------------------------------------------------------------------------------------------


async def every_input_gets_a_verdict_in_order(subject: Subject) -> None:
    inputs = ("What a lovely day.", subject.flagged, "Two and two is four.")
    verdicts = (await _answer(subject, ModerationRequest(model=subject.model, inputs=inputs))).verdicts
    _expect(len(verdicts) == len(inputs), f"{len(verdicts)} verdicts for {len(inputs)} inputs")
    _expect([verdict.flagged for verdict in verdicts] == [False, True, False], f"the verdicts are {verdicts}")


async def a_verdict_is_made_of_categories_and_scores(subject: Subject) -> None:
    request = ModerationRequest(model=subject.model, inputs=(subject.flagged,))
    (verdict,) = (await _answer(subject, request)).verdicts
    _expect(verdict.categories != {}, "no categories")
    _expect(set(verdict.categories) <= set(verdict.scores), f"a category has no score: {verdict}")
    _expect(all(0.0 <= score <= 1.0 for score in verdict.scores.values()), f"scores are {verdict.scores}")
    _expect(verdict.flagged == any(verdict.categories.values()), f"flagged is {verdict.flagged} for {verdict}")


async def the_same_text_gets_the_same_verdict(subject: Subject) -> None:
    request = ModerationRequest(model=subject.model, inputs=(subject.flagged,))
    answers = await asyncio.gather(*(_answer(subject, request) for _ in range(4)))
    _expect(all(answer.verdicts == answers[0].verdicts for answer in answers), "the same text got different verdicts")


# --- asking and looking -----------------------------------------------------------------------------------------------


def _chat(
    subject: Subject,
    prompt: str | None = None,
    *,
    stream: bool = False,
    include_usage: bool = False,
    max_tokens: int | None = 16,
    stop: tuple[str, ...] = (),
    n: int = 1,
) -> ChatRequest:
    return ChatRequest(
        model=subject.model,
        messages=(Message(role="user", content=subject.prompt if prompt is None else prompt),),
        sampling=Sampling(temperature=0.0, max_tokens=max_tokens, stop=stop, n=n),
        stream=stream,
        include_usage=include_usage,
    )


def _completion(subject: Subject, *prompts: str, stream: bool = False, n: int = 1) -> CompletionRequest:
    sampling = Sampling(temperature=0.0, max_tokens=8, n=n)
    return CompletionRequest(model=subject.model, prompts=prompts, sampling=sampling, stream=stream)


def _chat_provider(subject: Subject) -> ChatProvider:
    _expect(isinstance(subject.provider, ChatProvider), f"{subject.provider!r} is no ChatProvider")
    assert isinstance(subject.provider, ChatProvider)
    return subject.provider


async def _answer(subject: Subject, request: Request) -> Chunk:
    """The whole answer, whichever kind of call it is."""
    provider = subject.provider
    match request:
        case ChatRequest():
            return await (await _chat_provider(subject).send(request)).read()
        case CompletionRequest():
            assert isinstance(provider, CompletionProvider), f"{provider!r} is no CompletionProvider"
            return await (await provider.complete(request)).read()
        case EmbeddingsRequest():
            assert isinstance(provider, EmbeddingProvider), f"{provider!r} is no EmbeddingProvider"
            return await (await provider.embed(request)).read()
        case ModerationRequest():
            assert isinstance(provider, ModerationProvider), f"{provider!r} is no ModerationProvider"
            return await (await provider.moderate(request)).read()


async def _stream(subject: Subject, request: ChatRequest | CompletionRequest) -> list[Chunk]:
    if isinstance(request, ChatRequest):
        reply = await _chat_provider(subject).send(request)
    else:
        assert isinstance(subject.provider, CompletionProvider), f"{subject.provider!r} is no CompletionProvider"
        reply = await subject.provider.complete(request)
    async with aclosing(reply.chunks) as chunks:
        return [chunk async for chunk in chunks]


def _expect_ended_once(chunks: list[Chunk], *, choices: int) -> None:
    ended: dict[int, int] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            said = choice.text or choice.tool_calls or choice.refusal
            _expect(not (said and choice.index in ended), f"choice {choice.index} went on after its finish reason")
            if choice.finish_reason is not None:
                ended[choice.index] = ended.get(choice.index, 0) + 1
    _expect(
        ended == dict.fromkeys(range(choices), 1), f"finish reasons per choice: {ended}, {choices} choices asked for"
    )


async def _expect_quiet(subject: Subject) -> None:
    """The upstream's running answers go down to none within a second."""
    if subject.running is None:
        return
    for _ in range(100):
        if subject.running() == 0:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{subject.running()} answers still run a second after the reply was closed")


def _expect(condition: bool, sentence: str) -> None:
    if not condition:
        raise AssertionError(sentence)
