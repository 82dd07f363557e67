"""What the bundled chat model does with a request, beyond what every provider owes."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.clock import ManualClock
from tests.support.local_models import small_chat, weights
from undercroft.errors import InvalidRequest, UndercroftError
from undercroft.ids import Ids
from undercroft.llm.types import (
    ChatRequest,
    Chunk,
    CompletionRequest,
    Message,
    ResponseFormat,
    Sampling,
    Tool,
    ToolCall,
    ToolChoice,
)
from undercroft.providers.local.chat import LocalChat

WEATHER = Tool(
    name="get_weather",
    description="The weather in a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string", "maxLength": 40}}, "required": ["city"]},
)


@pytest.fixture(scope="module")
def chat() -> Iterator[LocalChat]:
    model = small_chat(context_tokens=1024)
    yield model
    asyncio.run(model.close())


def _ask(chat: LocalChat, question: str, *, sampling: Sampling = Sampling(max_tokens=48), **more: Any) -> Chunk:  # noqa: B008 - frozen
    return _send(chat, Message(role="user", content=question), sampling=sampling, **more)


def _send(chat: LocalChat, *messages: Message, **more: Any) -> Chunk:
    async def run() -> Chunk:
        return await (await chat.send(ChatRequest(model="local", messages=messages, **more))).read()

    return asyncio.run(run())


def _complete(chat: LocalChat, *prompts: str | tuple[int, ...], **more: Any) -> Chunk:
    async def run() -> Chunk:
        return await (await chat.complete(CompletionRequest(model="local", prompts=prompts, **more))).read()

    return asyncio.run(run())


def test_a_question_without_further_ado_gets_a_right_answer(chat: LocalChat) -> None:
    answer = _ask(chat, "What is the capital of France?")
    assert answer.text() == "The capital of France is Paris."
    assert answer.model == "undercroft-local"


def test_the_part_of_the_prompt_that_was_read_before_is_told_as_cached(chat: LocalChat) -> None:
    # A slot keeps its last prompt: with two slots the third question finds one of them.
    *_, usage = [_ask(chat, "What is the capital of France?").usage for _ in range(3)]
    assert usage is not None
    assert 0 < usage.cache_read <= usage.input


def test_a_seed_repeats_an_answer(chat: LocalChat) -> None:
    sampling = Sampling(seed=7, temperature=1.5, max_tokens=12)
    texts = {_ask(chat, "Tell me a story.", sampling=sampling).text() for _ in range(2)}
    others = {
        _ask(chat, "Tell me a story.", sampling=Sampling(seed=seed, temperature=1.5, max_tokens=12)).text()
        for seed in (8, 9)
    }
    assert len(texts) == 1
    assert others - texts


def test_choices_of_one_call_differ_though_they_share_a_seed(chat: LocalChat) -> None:
    answer = _ask(chat, "Tell me a story.", sampling=Sampling(seed=7, temperature=1.5, max_tokens=12, n=3))
    assert len({choice.text for choice in answer.choices}) > 1
    assert answer.usage is not None
    assert answer.usage.output > 12  # of all choices
    assert answer.usage.input < 60  # the prompt once


def test_a_prompt_beyond_the_context_is_refused_with_the_numbers(chat: LocalChat) -> None:
    with pytest.raises(InvalidRequest, match=r"512 tokens, the prompt has \d{4}") as caught:
        _ask(chat, "fox " * 2000)
    assert (caught.value.code, caught.value.status) == ("context_length_exceeded", 400)
    assert chat.context_length == 512


def test_an_answer_that_fills_the_context_ends_by_length(chat: LocalChat) -> None:
    answer = _complete(chat, "one two three four " * 120, sampling=Sampling(max_tokens=4000, temperature=0))
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    "schema",
    [{"type": "nonsense"}, {"type": "integer", "minimum": 5, "maximum": 1}, {"enum": []}, {"properties": [1]}],
)
def test_a_schema_nothing_can_satisfy_is_refused_and_the_model_goes_on(chat: LocalChat, schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        _ask(chat, "Hi", response_format=ResponseFormat(type="json_schema", schema=schema))
    assert _ask(chat, "Hi").text()


def test_any_json_object_can_be_asked_for(chat: LocalChat) -> None:
    sampling = Sampling(max_tokens=24, temperature=0)
    answer = _ask(chat, "Paris as JSON", sampling=sampling, response_format=ResponseFormat(type="json_object"))
    assert answer.text().lstrip().startswith("{")


def test_log_probabilities_come_in_the_chat_dialect(chat: LocalChat) -> None:
    answer = _ask(chat, "Say hi", sampling=Sampling(max_tokens=3), logprobs=True, top_logprobs=2)
    entries = answer.choices[0].logprobs["content"]
    assert "".join(entry["token"] for entry in entries) == answer.text()
    assert {len(entry["top_logprobs"]) for entry in entries} == {2}
    assert all(entry["logprob"] <= 0 for entry in entries)


def test_a_free_choice_of_tools_gives_text_where_none_fits_and_a_call_where_one_does(chat: LocalChat) -> None:
    text = _ask(chat, "What is the capital of France?", tools=(WEATHER,))
    assert (text.text(), text.choices[0].finish_reason) == ("The capital of France is Paris.", "stop")
    call = _ask(chat, "What is the weather in Paris?", tools=(WEATHER,)).choices[0]
    assert call.finish_reason == "tool_calls"
    assert (call.tool_calls[0].name, call.tool_calls[0].arguments) == ("get_weather", '{"city":"Paris"}')
    assert (call.tool_calls[0].id or "").startswith("call_")


def test_a_named_tool_is_called_whatever_the_question(chat: LocalChat) -> None:
    choice = ToolChoice(mode="function", name="get_weather")
    answer = _ask(chat, "Say hello to Berlin.", tools=(WEATHER,), tool_choice=choice)
    assert [call.name for call in answer.choices[0].tool_calls] == ["get_weather"]


def test_a_call_that_was_cut_is_no_call(chat: LocalChat) -> None:
    required = ToolChoice(mode="required")
    answer = _ask(chat, "Weather in Paris?", sampling=Sampling(max_tokens=4), tools=(WEATHER,), tool_choice=required)
    assert (answer.choices[0].finish_reason, answer.choices[0].tool_calls) == ("length", ())


def test_a_conversation_with_a_tool_ends_in_text(chat: LocalChat) -> None:
    answer = _send(
        chat,
        Message(role="user", content="Add 3 and 4."),
        Message(role="assistant", tool_calls=(ToolCall(id="call_1", name="add", arguments='{"a":3,"b":4}'),)),
        Message(role="tool", content="7", tool_call_id="call_1"),
        tools=(Tool(name="add", description="Adds."),),
        sampling=Sampling(max_tokens=32),
    )
    assert "7" in answer.text()
    assert answer.choices[0].tool_calls == ()


def test_several_prompts_are_continued_in_order_and_all_counted(chat: LocalChat) -> None:
    sampling = Sampling(max_tokens=4, temperature=0)
    answer = _complete(chat, "Once upon a time", "The sky is", sampling=sampling, logprobs=2)
    alone = [_complete(chat, prompt, sampling=sampling) for prompt in ("Once upon a time", "The sky is")]
    assert [choice.text for choice in answer.choices] == [each.text() for each in alone]
    assert answer.usage is not None
    assert answer.usage.output == 8
    assert answer.usage.input == sum(each.usage.input for each in alone if each.usage)
    told = answer.choices[1].logprobs
    assert "".join(told["tokens"]) == answer.choices[1].text
    assert told["text_offset"] == [len("".join(told["tokens"][:place])) for place in range(4)]


def test_a_prompt_of_token_ids_is_continued(chat: LocalChat) -> None:
    assert _complete(chat, (1, 500, 600), sampling=Sampling(max_tokens=2)).text()
    with pytest.raises(InvalidRequest, match="invalid tokens"):
        _complete(chat, (1, 10**8), sampling=Sampling(max_tokens=2))


def test_text_that_is_no_unicode_is_refused(chat: LocalChat) -> None:
    with pytest.raises(UndercroftError) as caught:
        _ask(chat, "a\ud800")
    assert caught.value.status == 400


def test_more_choices_than_can_ever_run_are_refused(chat: LocalChat) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _ask(chat, "Hi", sampling=Sampling(n=1000))
    assert caught.value.param == "n"


def test_a_model_of_the_operators_own_is_served_without_our_prompt_or_label() -> None:
    own = LocalChat(
        weights().chat,
        label="own",
        quality=None,
        system_prompt=None,
        slots=1,
        context_tokens=512,
        ids=Ids(ManualClock()),
    )
    answer = _ask(own, "Hi", sampling=Sampling(max_tokens=2))
    asyncio.run(own.close())
    assert dict(own.description) == {"context_length": 512}
    assert answer.usage is not None
    assert answer.model == "own"


def test_the_description_says_what_to_expect(chat: LocalChat) -> None:
    assert dict(chat.description) == {"context_length": 512, "quality": "demo quality, 135M"}
