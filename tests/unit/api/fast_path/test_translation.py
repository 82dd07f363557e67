"""Answers out of OpenAI's format: what is taken for a usual one is told as the stages would tell it."""

from typing import Any, Final

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from undercroft.api.fast_path.translation import FROM_ANTHROPIC, UNTOUCHED
from undercroft.wire import anthropic
from undercroft.wire.openai import chat

CALL: Final = "req_0123"
texts = st.text(max_size=9)
tokens = st.one_of(st.integers(-1, 300), st.none())
usages = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": tokens,
        "completion_tokens": tokens,
        "total_tokens": tokens,
        "prompt_tokens_details": st.fixed_dictionaries({}, optional={"cached_tokens": tokens, "audio_tokens": tokens}),
        "completion_tokens_details": st.fixed_dictionaries({}, optional={"reasoning_tokens": tokens}),
        "prompt_cache_hit_tokens": tokens,
    },
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": st.one_of(texts, st.none(), st.just([{"type": "text", "text": "x"}])),
        "refusal": st.sampled_from((None, "", "no")),
        "reasoning_content": st.one_of(texts, st.none()),
        "reasoning": st.one_of(texts, st.none(), st.just({"a": 1})),
        "tool_calls": st.sampled_from((None, [], [{"function": {"name": "f", "arguments": "{}"}}])),
        "annotations": st.just([]),
    },
)
choices: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from((0, 0, 0, 1, None)),
        "message": messages,
        "finish_reason": st.sampled_from(("stop", "stop", "length", "tool_calls", "content_filter", "", None, "new")),
        "logprobs": st.sampled_from((None, {"content": []})),
    },
)
ANSWERS = st.fixed_dictionaries(
    {"choices": st.lists(choices, min_size=1, max_size=2)},
    optional={
        "id": st.just("chatcmpl-1"),
        "object": st.sampled_from(("chat.completion", "error")),
        "model": st.sampled_from(("m-1", "", None)),
        "error": st.sampled_from((None, {"message": "no"})),
        "usage": st.one_of(usages, st.none()),
        "x_groq": st.just({"usage": {"prompt_tokens": 1}}),
        "service_tier": st.just("default"),
    },
)


USUAL = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries(
                {
                    "index": st.sampled_from((0, 0, 0, 1)),
                    "message": st.fixed_dictionaries(
                        {"content": st.one_of(texts, st.none())},
                        optional={"refusal": st.none(), "reasoning_content": texts, "reasoning": st.just({"a": 1})},
                    ),
                    "finish_reason": st.sampled_from(("stop", "length", "tool_calls", "function_call", "new", None)),
                },
                optional={"logprobs": st.just({"content": []})},
            ),
            min_size=1,
            max_size=1,
        ),
        "usage": usages,
    },
    optional={"id": st.just("chatcmpl-1"), "model": st.sampled_from(("m-1", "", None))},
)


def demand_same(body: bytes) -> bool:
    """What is usual for one is so for both; whether it is."""
    answered, untouched = FROM_ANTHROPIC.answered(body, CALL, "public"), UNTOUCHED.answered(body, CALL, "public")
    if answered is None or untouched is None:
        assert answered is untouched is None
        return False
    whole = chat.decode_whole(body)
    assert whole == chat.usual_whole(body)
    told = anthropic.whole(whole, id="msg_0123", model=whole.model or "public")
    assert answered == (told, whole.usage, whole.model)
    assert untouched == (body, whole.usage, whole.model)
    assert not any(each.refusal or each.finish_reason == "content_filter" for each in whole.choices)
    return True


@given(USUAL)
def test_a_usual_answer_becomes_what_the_stages_would_tell(fields: dict[str, Any]) -> None:
    assert demand_same(msgspec.json.encode(fields))


@given(ANSWERS)
def test_so_does_what_is_taken_for_one(fields: dict[str, Any]) -> None:
    demand_same(msgspec.json.encode(fields))


def test_what_most_providers_answer_is_usual() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "length"}
    answer = {"model": "m-1", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    answered = FROM_ANTHROPIC.answered(msgspec.json.encode(answer), CALL, "public")
    assert answered is not None
    told = msgspec.json.decode(answered[0])
    assert (told["id"], told["model"], told["stop_reason"]) == ("msg_0123", "m-1", "max_tokens")
    assert told["content"] == [{"type": "text", "text": "hi"}]
