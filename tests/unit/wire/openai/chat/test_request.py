import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, Message, Part, ToolCall
from undercroft.wire.openai.chat import decode

HELLO = [{"role": "user", "content": "Hello"}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def asked(**fields: Any) -> ChatRequest:
    return decode(json.dumps({"model": "chat", "messages": HELLO, **fields}).encode())


def refused(**fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        asked(**fields)
    assert caught.value.status == 400
    return caught.value


def test_every_parameter_finds_its_place() -> None:
    request = asked(
        temperature=0.5,
        top_p=0.9,
        frequency_penalty=-1,
        presence_penalty=1,
        logit_bias={"50256": -100},
        seed=7,
        stop="END",
        max_tokens=9,
        n=2,
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        logprobs=True,
        top_logprobs=3,
        reasoning_effort="low",
        parallel_tool_calls=False,
        user="u-1",
    )
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed, sampling.n) == (0.5, 0.9, 7, 2)
    assert (sampling.frequency_penalty, sampling.presence_penalty) == (-1.0, 1.0)
    assert sampling.logit_bias == {"50256": -100.0}
    assert (sampling.stop, sampling.max_tokens) == (("END",), 9)
    assert (request.stream, request.include_usage) == (True, True)
    assert (request.logprobs, request.top_logprobs) == (True, 3)
    assert (request.reasoning_effort, request.parallel_tool_calls, request.end_user) == ("low", False, "u-1")


def test_null_means_absent_everywhere() -> None:
    names = [
        "model",
        "temperature",
        "top_p",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "seed",
        "stop",
        "max_tokens",
        "n",
        "stream",
        "stream_options",
        "logprobs",
        "top_logprobs",
        "response_format",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "user",
        "max_completion_tokens",
        "parallel_tool_calls",
        "reasoning_effort",
        "safety_identifier",
    ]
    request = asked(**dict.fromkeys(names))
    assert request.model == ""
    plain = decode(json.dumps({"messages": HELLO}).encode())
    assert (request.sampling, request.tools, request.end_user) == (plain.sampling, (), "")


def test_the_source_is_the_callers_own_bytes() -> None:
    body = b'{"messages": [{"role":"user","content":"x"}],  "a_new_field": {"kept": true}}'
    source = decode(body).source
    assert source is not None
    assert (source.dialect, source.body) == ("openai.chat", body)


def test_the_newer_name_of_max_tokens_and_of_user_are_understood() -> None:
    request = asked(max_completion_tokens=5, safety_identifier="hash")
    assert request.sampling.max_tokens == 5
    assert request.end_user == "hash"


@pytest.mark.parametrize(
    ("stop", "read"), [("a", ("a",)), (["a", "b"], ("a", "b")), ([], ()), ("", ()), (["", "a"], ("a",))]
)
def test_stop_comes_as_one_or_several(stop: Any, read: tuple[str, ...]) -> None:
    assert asked(stop=stop).sampling.stop == read


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": None}, "messages", "invalid_type"),
        ({"messages": "Hello"}, "messages", "invalid_type"),
        ({"messages": ["Hello"]}, "messages[0]", "invalid_type"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": 1, "content": "x"}]}, "messages[0].role", "invalid_type"),
        ({"messages": [*HELLO, {"role": "user"}]}, "messages[1].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "empty_array"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]", "invalid_type"),
        (
            {"messages": [{"role": "user", "content": [{}]}]},
            "messages[0].content[0].type",
            "missing_required_parameter",
        ),
        ({"messages": [{"role": "user", "content": [{"type": 1}]}]}, "messages[0].content[0].type", "invalid_type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            "missing_required_parameter",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
            "messages[0].content[0].text",
            "invalid_type",
        ),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "missing_required_parameter"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].name", "missing_required_parameter"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function"}]}]},
            "messages[0].tool_calls[0].function",
            "missing_required_parameter",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "type": "magic"}]}]},
            "messages[0].tool_calls[0].type",
            "invalid_value",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}]},
            "messages[0].tool_calls[0].custom",
            "missing_required_parameter",
        ),
        ({"model": 5}, "model", "invalid_type"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 129}, "n", "integer_above_max_value"),
        ({"n": 1.5}, "n", "invalid_type"),
        ({"temperature": -0.1}, "temperature", "decimal_below_min_value"),
        ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"top_p": 1.1}, "top_p", "decimal_above_max_value"),
        ({"presence_penalty": 3}, "presence_penalty", "decimal_above_max_value"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_completion_tokens": -1}, "max_completion_tokens", "integer_below_min_value"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", "invalid_parameter_combination"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "array_above_max_length"),
        ({"stop": 5}, "stop", "invalid_type"),
        ({"seed": 2**64}, "seed", "integer_above_max_value"),
        ({"logit_bias": {"1": 101}}, "logit_bias[...]", "decimal_above_max_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"stream": False, "stream_options": {}}, "stream_options", "invalid_value"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"logprobs": 5}, "logprobs", "invalid_type"),
    ],
)
def test_a_malformed_request_is_refused_by_the_name_of_its_field(fields: dict[str, Any], param: str, code: str) -> None:
    error = refused(**fields)
    assert (error.param, error.code) == (param, code)


def test_missing_messages_are_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(b'{"model":"chat"}')
    assert caught.value.message == "Missing required parameter: 'messages'."


def test_the_roles_that_exist_are_listed() -> None:
    message = refused(messages=[{"role": "robot", "content": "x"}]).message
    assert message == (
        "Invalid value: 'robot'. Supported values are: "
        "'system', 'assistant', 'user', 'function', 'tool', and 'developer'."
    )


def only_message(**message: Any) -> Message:
    return asked(messages=[message]).messages[0]


def test_parts_keep_what_is_not_text_as_it_came() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    marked = {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}
    message = only_message(role="user", content=[{"type": "text", "text": "a"}, marked, image])
    assert message.content == (
        Part(type="text", text="a"),
        Part(type="text", text="b", data=marked, cache_control={"type": "ephemeral"}),
        Part(type="image_url", data=image),
    )
    assert message.text() == "ab"


def test_a_place_up_to_which_the_prompt_may_be_kept_is_read_in_either_form() -> None:
    ours = {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}
    theirs = {"type": "text", "text": "b", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    message = only_message(role="user", content=[ours, theirs])
    assert isinstance(message.content, tuple)
    assert [part.cache_control for part in message.content] == [
        {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"},
    ]  # fmt: skip


def test_an_assistant_may_have_only_called_tools() -> None:
    custom = {"id": "call_2", "type": "custom", "custom": {"name": "g", "input": "free"}}
    message = only_message(role="assistant", content=None, tool_calls=[CALL, custom])
    assert message.content is None
    assert message.tool_calls == (
        ToolCall(id="call_1", name="f", arguments="{}"),
        ToolCall(id="call_2", name="g", arguments="free", type="custom"),
    )


def test_a_tools_answer_names_its_call() -> None:
    message = only_message(role="tool", content="42", tool_call_id="call_1")
    assert (message.role, message.tool_call_id, message.text()) == ("tool", "call_1", "42")


def test_a_refusal_becomes_a_part() -> None:
    message = only_message(role="assistant", content=None, refusal="No.")
    assert message.content == (Part(type="refusal", text="No."),)
    both = only_message(role="assistant", content="Well.", refusal="No.")
    assert both.content == (Part(type="text", text="Well."), Part(type="refusal", text="No."))


def test_the_older_function_messages_become_tool_messages_paired_by_name() -> None:
    called, answered = asked(
        messages=[
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "42"},
        ]
    ).messages
    assert called.tool_calls[0].id == answered.tool_call_id
    assert (answered.role, answered.name) == ("tool", "f")


FIELDS = st.dictionaries(
    st.sampled_from(
        [
            "model",
            "temperature",
            "stop",
            "max_tokens",
            "n",
            "stream",
            "stream_options",
            "logprobs",
            "top_logprobs",
            "response_format",
            "tools",
            "tool_choice",
            "functions",
            "function_call",
            "user",
            "messages",
        ]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers(-3, 200) | st.sampled_from(["auto", "text", "function", "json_schema"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "name", "function", "json_schema", "role", "content", "tool_calls", "id", "allowed_tools"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=6,
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=600)
@given(FIELDS)
def test_any_object_is_a_request_or_a_refusal(fields: dict[str, Any]) -> None:
    with suppress(InvalidRequest):
        assert asked(**fields).messages
