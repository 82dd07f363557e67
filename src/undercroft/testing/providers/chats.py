"""What a ChatProvider owes."""

import asyncio
from contextlib import aclosing

import msgspec

from undercroft.llm.types import ChatRequest, Chunk, Message, ResponseFormat, Sampling, Tool, ToolChoice
from undercroft.testing.providers.asking import (
    answer_of,
    chat_provider,
    expect,
    expect_ended_once,
    expect_quiet,
    stream_of,
)
from undercroft.testing.providers.subject import Subject


async def a_whole_answer_has_text_and_ends(subject: Subject) -> None:
    answer = await answer_of(subject, _chat(subject))
    expect(len(answer.choices) == 1, f"one choice was asked for, {len(answer.choices)} came")
    expect(answer.text() != "", "the answer has no text")
    expect(answer.choices[0].finish_reason in ("stop", "length"), f"it ended with {answer.choices[0].finish_reason!r}")
    expect(answer.choices[0].role == "assistant", f"its role is {answer.choices[0].role!r}")


async def a_stream_ends_each_choice_once(subject: Subject) -> None:
    chunks = await stream_of(subject, _chat(subject, stream=True))
    expect("".join(chunk.text() for chunk in chunks) != "", "the stream has no text")
    expect_ended_once(chunks, choices=1)


async def a_stream_and_a_whole_answer_are_both_read_by_reply_read(subject: Subject) -> None:
    for stream in (False, True):
        answer = await answer_of(subject, _chat(subject, stream=stream))
        expect(answer.text() != "", f"no text with stream={stream}")
        expect(answer.choices[0].finish_reason is not None, f"no finish reason with stream={stream}")


async def long_streams_come_in_pieces(subject: Subject) -> None:
    chunks = await stream_of(subject, _chat(subject, subject.long_prompt, stream=True, max_tokens=24))
    pieces = [chunk for chunk in chunks if chunk.text()]
    expect(len(pieces) > 2, f"{len(pieces)} pieces of text came")


async def usage_is_told_either_way(subject: Subject) -> None:
    for stream in (False, True):
        answer = await answer_of(subject, _chat(subject, stream=stream, include_usage=stream))
        usage = answer.usage
        expect(usage is not None, f"no usage with stream={stream}")
        assert usage is not None
        expect(usage.input > 0 and usage.output > 0, f"usage is {usage} with stream={stream}")
        expect(usage.cache_read <= usage.input, f"more tokens from the cache than in the prompt: {usage}")


async def max_tokens_cuts_the_answer(subject: Subject) -> None:
    for stream in (False, True):
        answer = await answer_of(subject, _chat(subject, subject.long_prompt, stream=stream, max_tokens=3))
        expect(answer.choices[0].finish_reason == "length", f"it ended with {answer.choices[0].finish_reason!r}")
        expect(answer.usage is None or answer.usage.output <= 3, f"usage is {answer.usage}")


async def a_stop_sequence_ends_the_answer_before_it(subject: Subject) -> None:
    whole = await answer_of(subject, _chat(subject))
    expect(subject.stop_word in whole.text()[1:], f"the answer {whole.text()!r} lacks the stop word")
    for stream in (False, True):
        answer = await answer_of(subject, _chat(subject, stream=stream, stop=(subject.stop_word,)))
        expect(subject.stop_word not in answer.text(), f"{answer.text()!r} holds the stop sequence")
        expect(answer.choices[0].finish_reason == "stop", f"it ended with {answer.choices[0].finish_reason!r}")


async def every_choice_asked_for_is_given(subject: Subject) -> None:
    answer = await answer_of(subject, _chat(subject, n=2))
    expect([choice.index for choice in answer.choices] == [0, 1], f"choices are {answer.choices}")
    expect(all(choice.finish_reason for choice in answer.choices), "a choice has no finish reason")
    expect_ended_once(await stream_of(subject, _chat(subject, n=2, stream=True)), choices=2)


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
    _expect_weather_call(await answer_of(subject, _tool_request(subject, stream=False)))


async def a_required_tool_is_called_in_a_stream(subject: Subject) -> None:
    chunks = await stream_of(subject, _tool_request(subject, stream=True))
    expect_ended_once(chunks, choices=1)
    _expect_weather_call(await answer_of(subject, _tool_request(subject, stream=True)))


def _expect_weather_call(answer: Chunk) -> None:
    choice = answer.choices[0]
    expect(choice.finish_reason == "tool_calls", f"it ended with {choice.finish_reason!r}")
    expect(len(choice.tool_calls) >= 1, "no tool was called")
    call = choice.tool_calls[0]
    expect(bool(call.id), "the call has no id")
    expect(call.name == "get_weather", f"{call.name!r} was called")
    arguments = msgspec.json.decode(call.arguments)
    expect(isinstance(arguments, dict) and "city" in arguments, f"arguments are {call.arguments!r}")


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
    text = (await answer_of(subject, request)).text()
    value = msgspec.json.decode(text)
    expect(isinstance(value, dict) and set(value) == {"name", "age"}, f"the answer is {text!r}")
    expect(isinstance(value["name"], str) and isinstance(value["age"], int), f"the answer is {text!r}")


async def a_closed_reply_stops_its_upstream(subject: Subject) -> None:
    reply = await chat_provider(subject).send(_chat(subject, subject.long_prompt, stream=True, max_tokens=None))
    seen = 0
    async with aclosing(reply.chunks) as chunks:
        async for _ in chunks:
            seen += 1
            if seen == 2:
                break
    await expect_quiet(subject)
    await a_whole_answer_has_text_and_ends(subject)


async def a_reply_can_be_closed_before_it_is_read(subject: Subject) -> None:
    reply = await chat_provider(subject).send(_chat(subject, subject.long_prompt, stream=True, max_tokens=None))
    await reply.chunks.aclose()
    await expect_quiet(subject)


async def a_cancelled_call_leaves_nothing_running(subject: Subject) -> None:
    async def read() -> None:
        await answer_of(subject, _chat(subject, subject.long_prompt, max_tokens=None))

    task = asyncio.create_task(read())
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await expect_quiet(subject)


async def several_calls_run_at_once(subject: Subject) -> None:
    answers = await asyncio.gather(*(answer_of(subject, _chat(subject, stream=index % 2 == 0)) for index in range(6)))
    expect(all(answer.text() for answer in answers), "an answer is empty")
    expect(all(answer.choices[0].finish_reason for answer in answers), "an answer has no end")


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
