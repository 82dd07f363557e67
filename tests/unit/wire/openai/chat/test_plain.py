"""Plain requests, against the reader of all requests: what is taken for one means the same there."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.errors import UndercroftError
from undercroft.llm.tokens import estimate_conversation, estimate_input, estimate_texts
from undercroft.wire.duplicates import demand_unambiguous
from undercroft.wire.openai import chat
from undercroft.wire.openai.chat import plain

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(("m", "", None, 3)),
    "messages": st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(("system", "user", "developer", "assistant", "tool", "wizard"))},
            optional={
                "content": st.one_of(st.text(max_size=9), st.none(), st.just([{"type": "text", "text": "x"}])),
                "name": st.just("n"),
            },
        ),
        max_size=3,
    ),
    "stream": st.sampled_from((False, True, None)),
    "temperature": st.sampled_from((0, 0.5, 2, 2.1, None, "1")),
    "top_p": st.sampled_from((0, 1, 1.1)),
    "max_tokens": st.sampled_from((1, 0, None, 2**31)),
    "max_completion_tokens": st.sampled_from((5, -1)),
    "user": st.just("u"),
    "tools": st.just([]),
    "made_up": st.just({"a": 1}),
}
BODIES = st.one_of(
    st.fixed_dictionaries({"model": st.just("m"), "messages": VALUES["messages"]}),
    st.fixed_dictionaries({}, optional=VALUES),
)


@given(BODIES, st.integers(0, 2))
def test_a_plain_request_is_a_request_with_the_same_meaning(fields: dict[str, Any], indent: int) -> None:
    body = msgspec.json.format(msgspec.json.encode(fields), indent=indent)
    asked = plain.decode(body)
    if asked is None:
        return
    demand_unambiguous(body)
    request = chat.decode(body)
    assert (request.model, request.stream, request.prompt, request.end_user) == (asked.model, False, None, "")
    assert [(each.role, each.content) for each in request.messages] == [(m.role, m.content) for m in asked.messages]
    assert (request.sampling.max_tokens, request.sampling.n) == (asked.longest, 1)
    assert not request.tools
    assert request.metadata is None
    characters = sum(len(each.content) for each in asked.messages)
    read = estimate_texts(characters, len(asked.messages))
    assert read == estimate_input(request) == estimate_conversation(request)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"with: a colon"}],"temperature":0.2,"max_tokens":3}',
        b' { "model" : "m", "messages" : [ { "role" : "user", "content" : "\\u00e9" } ], "stream" : false } ',
    ],
)
def test_what_most_callers_send_is_plain(body: bytes) -> None:
    assert plain.decode(body) is not None


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","model":"n","messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"hi","content":"ho"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"a:b"}],"temperature":1,"temperature":2}',
        b'{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":1,"max_completion_tokens":1}',
        b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}',
        b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"m","messages":[]}',
        b"[]",
        b"",
    ],
)
def test_everything_else_is_not(body: bytes) -> None:
    assert plain.decode(body) is None


ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "object": st.sampled_from(("chat.completion", "error")),
        "model": st.sampled_from(("m-1", None)),
        "error": st.sampled_from((None, {"message": "no"})),
        "usage": st.sampled_from(
            (
                None, {"prompt_tokens": 3, "completion_tokens": 2}, {"prompt_tokens": 0, "completion_tokens": 2},
                {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
                {"prompt_tokens": 3, "completion_tokens": 2, "prompt_cache_hit_tokens": 2}, {"prompt_tokens": -3},
            )
        ),
        "choices": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "index": st.sampled_from((0, None)),
                    "message": st.sampled_from(
                        (
                            {"role": "assistant", "content": "hi"}, {"content": [{"type": "text", "text": "x"}]},
                            {"content": None, "refusal": "no"}, {"tool_calls": [{"function": {"name": "f"}}]},
                            {"role": "assistant", "content": "hi", "tool_calls": [], "function_call": None},
                        )
                    ),
                    "finish_reason": st.sampled_from(("stop", "content_filter", "", None)),
                },
            ),
            max_size=2,
        ),
    },
)  # fmt: skip


@given(ANSWERS)
def test_a_usual_answer_is_one_that_is_passed_on(fields: dict[str, Any]) -> None:
    body = msgspec.json.encode(fields)
    usual = chat.usual(body)
    if usual is None:
        return
    whole = chat.decode_whole(body)
    assert usual == (whole.usage, whole.model)
    assert chat.passed_on(whole) == body
    assert not any(each.refusal or each.finish_reason == "content_filter" for each in whole.choices)


def test_what_most_providers_answer_is_usual_and_errors_are_not() -> None:
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    answer = {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    assert chat.usual(msgspec.json.encode(answer)) is not None
    of_vllm = {**choice, "message": {**choice["message"], "refusal": None, "tool_calls": []}, "stop_reason": None}
    assert chat.usual(msgspec.json.encode({**answer, "choices": [of_vllm]})) is not None
    for body in (
        b'{"error":{"message":"no"}}',
        b"<html>",
        b"",
        b"\xff",
        msgspec.json.encode({**answer, "choices": []}),
    ):
        assert chat.usual(body) is None
        with pytest.raises(UndercroftError):
            chat.decode_whole(body)
