"""Between our requests and the runtime's dicts."""

from typing import Any

import pytest

from undercroft.errors import InvalidRequest, UndercroftError, UpstreamGarbled, UpstreamOverloaded
from undercroft.llm.types import (
    ChatRequest,
    CompletionRequest,
    Message,
    Part,
    ResponseFormat,
    Sampling,
    Tool,
    ToolCall,
    ToolChoice,
    Usage,
)
from undercroft.providers.local import dialect

PROMPT = dialect.DEFAULT_SYSTEM_PROMPT
HELLO = Message(role="user", content="Hello")
HELLO_TOOL = Tool(name="hello")


def _body(*messages: Message, system_prompt: str | None = PROMPT, choice: int = 0, **more: Any) -> dict[str, Any]:
    request = ChatRequest(model="local", messages=messages, **more)
    return dialect.chat_body(request, (), system_prompt=system_prompt, choice=choice)


def test_a_conversation_without_a_system_message_gets_the_short_one_and_temperature_0() -> None:
    body = _body(HELLO)
    assert body["messages"] == [{"role": "system", "content": PROMPT}, {"role": "user", "content": "Hello"}]
    assert body["temperature"] == 0.0


@pytest.mark.parametrize("role", ["system", "developer"])
def test_the_callers_own_system_message_is_left_alone_and_so_is_the_temperature(role: str) -> None:
    body = _body(Message(role=role, content="Be rude."), HELLO)
    assert body["messages"][0] == {"role": "system", "content": "Be rude."}
    assert "temperature" not in body


def test_a_temperature_of_the_callers_own_stays() -> None:
    assert _body(HELLO, sampling=Sampling(temperature=0.9))["temperature"] == 0.9


def test_a_model_of_the_operators_own_gets_no_system_message() -> None:
    body = _body(HELLO, system_prompt=None)
    assert body["messages"] == [{"role": "user", "content": "Hello"}]
    assert "temperature" not in body


def test_text_parts_are_joined_and_others_refused_by_their_place() -> None:
    parts = (Part(type="text", text="Hello "), Part(type="text", text="you"))
    assert _body(Message(role="user", content=parts))["messages"][1]["content"] == "Hello you"
    with pytest.raises(InvalidRequest, match="image_url") as caught:
        _body(HELLO, Message(role="user", content=(*parts, Part(type="image_url", data={}))))
    assert caught.value.param == "messages[1].content[2]"


def test_a_tools_result_reaches_the_model_as_the_users_text() -> None:
    call = ToolCall(id="call_1", name="add", arguments="{}")
    body = _body(
        HELLO,
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="7", tool_call_id="call_1"),
        system_prompt=None,
    )
    assert [message["role"] for message in body["messages"]] == ["user", "user"]
    assert body["messages"][1]["content"].startswith("add({}) is 7.")


def test_each_choice_has_a_seed_of_its_own_within_32_bits() -> None:
    seeds = [_body(HELLO, sampling=Sampling(seed=2**63), choice=choice)["seed"] for choice in (0, 1)]
    assert seeds[0] != seeds[1]
    assert all(0 <= seed < 2**32 - 1 for seed in seeds)


def test_only_what_was_given_is_passed_on() -> None:
    sampling = Sampling(
        top_p=0.5,
        frequency_penalty=1.0,
        presence_penalty=-1.0,
        logit_bias={"5": -100.0},
        stop=("", "END"),
        max_tokens=7,
    )
    body = _body(HELLO, sampling=sampling)
    assert {name: body[name] for name in ("top_p", "frequency_penalty", "presence_penalty", "max_tokens")} == {
        "top_p": 0.5,
        "frequency_penalty": 1.0,
        "presence_penalty": -1.0,
        "max_tokens": 7,
    }
    assert body["logit_bias"] == {"5": -100.0}
    assert body["stop"] == ["END"]
    assert not {"seed", "logprobs", "response_format"} & set(body)


def test_tools_are_told_and_held_to() -> None:
    tool = Tool(name="add", description="Adds.", parameters={"type": "object", "properties": {"a": {}}})
    request = ChatRequest(model="local", messages=(HELLO,), tools=(tool,), tool_choice=ToolChoice(mode="required"))
    body = dialect.chat_body(request, (tool,), system_prompt=PROMPT)
    assert body["messages"][0]["content"].startswith(f"{PROMPT}\n\nYou can call these functions:\n- add: Adds.")
    assert "answer" not in body["messages"][0]["content"].partition("functions")[2]
    assert body["response_format"]["json_schema"]["schema"]["anyOf"][0]["required"] == ["name", "arguments"]


def test_a_schema_that_cannot_be_held_to_names_the_tool() -> None:
    tool = Tool(name="add", parameters={"properties": {"a": {"pattern": "b"}}}, strict=True)
    with pytest.raises(InvalidRequest) as caught:
        dialect.usable_tools([HELLO_TOOL, tool])
    assert caught.value.param == "tools[1]"


def test_formats_are_passed_on() -> None:
    assert _body(HELLO, response_format=ResponseFormat(type="json_object"))["response_format"] == {
        "type": "json_object"
    }
    wanted = ResponseFormat(type="json_schema", schema={"type": "string"})
    assert _body(HELLO, response_format=wanted)["response_format"]["json_schema"]["schema"] == {"type": "string"}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"echo": True}, "echo"),
        ({"suffix": "end"}, "suffix"),
        ({"sampling": Sampling(max_tokens=0)}, "max_tokens"),
    ],
)
def test_what_a_continuation_cannot_be_is_refused_by_name(changes: dict[str, Any], param: str) -> None:
    request = CompletionRequest(model="local", prompts=("Once",), **changes)
    with pytest.raises(InvalidRequest) as caught:
        dialect.completion_body(request, "Once")
    assert caught.value.param == param


def test_pieces_that_add_nothing_make_no_choice() -> None:
    progress = {"choices": [{"delta": {"role": "assistant"}, "finish_reason": None}], "prompt_progress": {"total": 9}}
    assert dialect.chat_choice(progress, 0, top_logprobs=0) is None
    assert dialect.chat_choice({"choices": []}, 0, top_logprobs=0) is None


def test_as_many_likely_tokens_are_told_as_were_asked_for() -> None:
    entry = {"id": 5, "token": "a", "bytes": [97], "logprob": -0.5}
    said = {
        "delta": {"content": "a"},
        "finish_reason": None,
        "logprobs": {"content": [{**entry, "top_logprobs": [entry]}]},
    }
    for asked in (0, 1):
        choice = dialect.chat_choice({"choices": [said]}, 0, top_logprobs=asked)
        assert choice is not None
        told = choice.logprobs["content"][0]
        assert told.pop("top_logprobs") == [{"token": "a", "bytes": [97], "logprob": -0.5}][:asked]
        assert told == {"token": "a", "bytes": [97], "logprob": -0.5}


def test_cached_tokens_are_told_as_part_of_the_input() -> None:
    piece = {"usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}}}
    assert dialect.usage_of(piece) == Usage(input=9, output=2, cache_read=8)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (
            {"type": "exceed_context_size_error", "code": 400, "n_ctx": 9, "n_prompt_tokens": 12},
            InvalidRequest,
            "context_length_exceeded",
        ),
        ({"code": 400, "message": "Prompt contains invalid tokens"}, InvalidRequest, "invalid_request"),
        ({"code": 500, "message": "Unexpected empty grammar stack"}, InvalidRequest, "invalid_request"),
        ({"code": 500, "message": "out of memory"}, UpstreamOverloaded, "upstream_overloaded"),
    ],
)
def test_the_runtimes_errors_become_ours(error: dict[str, Any], kind: type[UndercroftError], code: str) -> None:
    translated = dialect.told_error(error, param="messages")
    assert type(translated) is kind
    assert translated.code == code


def test_exceptions_out_of_the_runtime_become_ours() -> None:
    translated = dialect.raised_error(ValueError("… Automatic parser generation failed: JSON schema error at #: nope"))
    assert isinstance(translated, InvalidRequest)
    assert translated.message.endswith("request: JSON schema error at #: nope")
    assert isinstance(dialect.raised_error(MemoryError("no room")), UpstreamGarbled)
