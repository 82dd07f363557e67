import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undercroft.errors import InvalidRequest, UpstreamError, UpstreamGarbled, UpstreamOverloaded, UpstreamRefused
from undercroft.llm.types import (
    ChatRequest,
    Choice,
    Message,
    Part,
    ResponseFormat,
    Sampling,
    Source,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    Usage,
)
from undercroft.llm.unsupported import Unsupported
from undercroft.settings.presets import Quirks
from undercroft.wire.openai.chat import decode, decode_chunk, decode_whole, encode_request
from undercroft.wire.openai.quirks import Adaptation

BODY = b'{"model": "chat","messages": [ {"role":"user","content":"\\u00e9"} ], "stream":true, "a_new_field": 1.50}'


def fields(data: bytes) -> dict[str, bytes]:
    return {name: bytes(raw) for name, raw in msgspec.json.decode(data, type=dict[str, msgspec.Raw]).items()}


def sent(request: ChatRequest, *, ask_usage: bool = False) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(encode_request(request, model="up", ask_usage=ask_usage))
    return read


# --- requests ---------------------------------------------------------------------------------------------------------


def test_the_callers_own_bytes_are_passed_on_but_for_the_model() -> None:
    before, after = fields(BODY), fields(encode_request(decode(BODY), model="gpt-5-mini", ask_usage=False))
    assert after == {**before, "model": b'"gpt-5-mini"'}


def test_usage_is_asked_for_whether_the_caller_did_or_not() -> None:
    assert sent(decode(BODY), ask_usage=True)["stream_options"] == {"include_usage": True}


def test_the_callers_other_stream_options_stay() -> None:
    body = BODY[:-1] + b',"stream_options":{"include_usage":false,"continuous_usage_stats":true}}'
    assert sent(decode(body), ask_usage=True)["stream_options"] == {
        "include_usage": True,
        "continuous_usage_stats": True,
    }


def test_what_another_model_thought_is_not_sent() -> None:
    thought = (Part(type="thinking", text="Hm.", data={"signature": "s"}), Part(type="text", text="Yes."))
    only = (Part(type="redacted_thinking", data={"data": "d"}),)
    call = ToolCall(id="1", name="f", arguments="{}")
    request = ChatRequest(
        model="m",
        messages=(
            Message(role="assistant", content=thought),
            Message(role="assistant", content=only, tool_calls=(call,)),
        ),
    )
    first, second = sent(request)["messages"]
    assert first["content"] == [{"type": "text", "text": "Yes."}]
    assert second["content"] is None


def test_what_a_tool_shows_besides_text_follows_its_results() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    shown = (Part(type="text", text="Look."), Part(type="image_url", data=image))
    request = ChatRequest(
        model="m",
        source=Source("anthropic.messages", b"{}"),
        messages=(
            Message(role="tool", content=shown, tool_call_id="1"),
            Message(role="tool", content=(Part(type="image_url", data=image),), tool_call_id="2"),
            Message(role="assistant", content="I see."),
            Message(role="tool", content="plain", tool_call_id="3"),
        ),
    )
    assert sent(request)["messages"] == [
        {"role": "tool", "content": [{"type": "text", "text": "Look."}], "tool_call_id": "1"},
        {"role": "tool", "content": "See what follows.", "tool_call_id": "2"},
        {"role": "user", "content": [image, image]},
        {"role": "assistant", "content": "I see."},
        {"role": "tool", "content": "plain", "tool_call_id": "3"},
    ]


def test_a_tool_of_another_provider_is_refused() -> None:
    tool = Tool(name="web_search", type="hosted", format={"type": "web_search_20260318"})
    with pytest.raises(InvalidRequest) as caught:
        sent(ChatRequest(model="m", messages=(Message(role="user", content="x"),), tools=(tool,)))
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "tools")


def test_hints_of_another_format_are_left_out_and_named() -> None:
    request = ChatRequest(model="m", messages=(), sampling=Sampling(top_k=3), reasoning_tokens=2000)
    fit = Adaptation(Quirks(), Unsupported("s", drop=False))
    assert (
        not {"top_k", "thinking"}
        & msgspec.json.decode(encode_request(request, model="up", ask_usage=False, adaptation=fit)).keys()
    )
    assert set(fit.dropped) == {"top_k", "thinking"}


def test_usage_is_not_asked_for_where_nothing_is_streamed() -> None:
    assert "stream_options" not in sent(decode(BODY.replace(b"true", b"false")), ask_usage=True)


def test_null_stream_options_are_replaced() -> None:
    body = BODY[:-1] + b',"stream_options":null}'
    assert sent(decode(body), ask_usage=True)["stream_options"] == {"include_usage": True}


def test_a_repeated_model_cannot_name_another() -> None:
    body = b'{"model":"a","messages":[{"role":"user","content":"x"}],"model":"b"}'
    assert encode_request(decode(body), model="up", ask_usage=False).count(b'"model"') == 1


def test_a_request_of_another_dialect_is_written_anew() -> None:
    request = ChatRequest(
        model="m",
        messages=(Message(role="user", content="x"),),
        sampling=Sampling(temperature=0.5, max_tokens=9),
        stream=True,
        source=Source("openai.completions", b"{}"),
    )
    assert sent(request, ask_usage=True) == {
        "model": "up",
        "messages": [{"role": "user", "content": "x"}],
        "temperature": 0.5,
        "max_completion_tokens": 9,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
NAME = st.sampled_from(["f", "g", "h"])
IMAGE = Part(type="image_url", data={"type": "image_url", "image_url": {"url": "data:,"}})
PARTS = st.lists(
    st.builds(Part, type=st.just("text"), text=TEXT, data=st.none()) | st.just(IMAGE), min_size=1, max_size=3
).map(tuple)
MESSAGES = st.one_of(
    st.builds(
        Message, role=st.sampled_from(["user", "system", "developer"]), content=TEXT | PARTS, name=st.none() | NAME
    ),
    st.builds(Message, role=st.just("tool"), content=TEXT | PARTS, tool_call_id=NAME),
    st.builds(
        Message,
        role=st.just("assistant"),
        content=st.none() | TEXT,
        tool_calls=st.lists(
            st.builds(ToolCall, id=NAME, name=NAME, arguments=TEXT, type=st.sampled_from(["function", "custom"])),
            min_size=1,
            max_size=2,
        ).map(tuple),
    ),
)
TOOLS = (
    Tool(name="f", description="d", parameters={"type": "object"}, strict=True),
    Tool(name="g", type="custom", format={"type": "text"}),
)
TOOL_FIELDS = st.sampled_from([(), TOOLS]).flatmap(
    lambda tools: st.tuples(
        st.just(tools),
        st.sampled_from(
            [
                ToolChoice(),
                ToolChoice(mode="none"),
                *(
                    [
                        ToolChoice(mode="required"),
                        ToolChoice(mode="function", name="g"),
                        ToolChoice(mode="auto", allowed=("f", "g")),
                    ]
                    if tools
                    else []
                ),
            ]
        ),
    )
)
SAMPLING = st.builds(
    Sampling,
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    frequency_penalty=st.none() | st.floats(-2, 2),
    presence_penalty=st.none() | st.floats(-2, 2),
    logit_bias=st.none() | st.dictionaries(NAME, st.floats(-100, 100)),
    seed=st.none() | st.integers(-(2**63), 2**63 - 1),
    stop=st.lists(TEXT.filter(bool), max_size=4).map(tuple),
    max_tokens=st.none() | st.integers(1, 10_000),
    n=st.integers(1, 128),
)


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    tools, choice = draw(TOOL_FIELDS)
    stream = draw(st.booleans())
    logprobs = draw(st.booleans())
    return ChatRequest(
        model="up",
        messages=tuple(draw(st.lists(MESSAGES, min_size=1, max_size=3))),
        sampling=draw(SAMPLING),
        stream=stream,
        include_usage=stream and draw(st.booleans()),
        logprobs=logprobs,
        top_logprobs=draw(st.none() | st.integers(0, 20)) if logprobs else None,
        response_format=draw(
            st.sampled_from(
                [
                    ResponseFormat(),
                    ResponseFormat(type="json_object"),
                    ResponseFormat(type="json_schema", name="n", description="d", schema={"type": "object"}),
                ]
            )
        ),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=draw(st.none() | st.booleans()),
        reasoning_effort=draw(st.none() | st.just("low")),
        end_user=draw(TEXT),
    )


@settings(deadline=None, max_examples=300)
@given(requests())
def test_what_is_written_for_a_provider_reads_back_as_the_same_request(request: ChatRequest) -> None:
    read = decode(encode_request(request, model="up", ask_usage=False))
    assert msgspec.structs.replace(read, source=None) == request


# --- answers ----------------------------------------------------------------------------------------------------------


def piece(**changes: Any) -> bytes:
    return json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "m", **changes}).encode()


def said(**delta: Any) -> Choice:
    return decode_chunk(piece(choices=[{"index": 0, "delta": delta, "finish_reason": None}])).choices[0]


def test_a_piece_of_text_is_read_and_keeps_its_bytes() -> None:
    data = piece(choices=[{"index": 1, "delta": {"role": "assistant", "content": "x"}, "finish_reason": None}])
    chunk = decode_chunk(data)
    assert chunk.choices == (Choice(index=1, role="assistant", text="x"),)
    assert (chunk.model, chunk.source, chunk.whole, chunk.usage) == ("m", data, False, None)


@pytest.mark.parametrize(
    "choice",
    [
        {"index": 0, "delta": {}, "finish_reason": None},
        {"delta": None},
        {},
        {"index": None, "delta": {"content": None, "role": None, "tool_calls": None}, "finish_reason": ""},
    ],
)
def test_a_silent_choice_says_nothing(choice: dict[str, Any]) -> None:
    assert decode_chunk(piece(choices=[choice])).choices == (Choice(),)


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"reasoning_content": "Hm"}, Choice(reasoning="Hm")),
        ({"reasoning": "Hm"}, Choice(reasoning="Hm")),
        ({"reasoning": {"kind": "new"}}, Choice()),
        ({"refusal": "No"}, Choice(refusal="No")),
        ({"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "x"}]}, Choice(text="x")),
        (
            {"tool_calls": [{"index": 1, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            Choice(tool_calls=(ToolCallDelta(index=1, id="a", name="f"),)),
        ),
        (
            {"tool_calls": [{"function": {"arguments": "{"}}]},
            Choice(tool_calls=(ToolCallDelta(index=0, arguments="{"),)),
        ),
        (
            {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"a": 1}}}]},
            Choice(tool_calls=(ToolCallDelta(index=0, id="a", name="f", arguments='{"a":1}'),)),
        ),
        (
            {"tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "g", "input": "x"}}]},
            Choice(tool_calls=(ToolCallDelta(index=0, id="a", name="g", arguments="x", type="custom"),)),
        ),
        (
            {"function_call": {"name": "f", "arguments": "{}"}},
            Choice(tool_calls=(ToolCallDelta(index=0, id="call_c_0_0", name="f", arguments="{}"),)),
        ),
    ],
)
def test_what_providers_say_in_their_own_ways_is_understood(delta: dict[str, Any], expected: Choice) -> None:
    assert said(**delta) == expected


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, Usage(input=3, output=2)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 1, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(input=9, output=4, cache_read=5, cache_write=1, reasoning=3),
        ),
        ({"prompt_tokens": 3, "completion_tokens": None, "prompt_tokens_details": None}, Usage(input=3)),
        ({"prompt_tokens": "3", "completion_tokens": 2.0}, Usage(input=3, output=2)),
        ({"prompt_tokens": -1}, Usage()),
        ({}, Usage()),
    ],
)
def test_usage_is_read_however_much_of_it_is_told(told: dict[str, Any], usage: Usage) -> None:
    assert decode_chunk(piece(choices=[], usage=told)).usage == usage
    whole = decode_whole(piece(choices=[{"message": {"content": "x"}, "finish_reason": "stop"}], usage=told))
    assert whole.usage == usage


def test_a_whole_answer_is_read_and_keeps_its_body() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    body = piece(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}])
    chunk = decode_whole(body)
    call = ToolCallDelta(index=0, id="a", name="f", arguments="{}")
    assert chunk.choices == (Choice(role="assistant", tool_calls=(call,), finish_reason="tool_calls"),)
    assert (chunk.source, chunk.whole) == (body, True)


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"error": {"message": "Busy.", "type": "overloaded_error"}}, UpstreamOverloaded),
        ({"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}, UpstreamOverloaded),
        ({"error": "CUDA out of memory"}, UpstreamOverloaded),
        ({"error": {"message": "Too long.", "type": "invalid_request_error"}}, UpstreamRefused),
        ({"object": "error", "message": "Too long.", "code": 400}, UpstreamRefused),
        ({"error": {"message": "Upstream.", "code": 502}, "choices": [{"finish_reason": "error"}]}, UpstreamOverloaded),
        ({"error": {"message": "Odd.", "code": "400"}, "choices": "none"}, UpstreamRefused),
    ],
)
def test_an_error_inside_an_answer_is_raised(event: dict[str, Any], kind: type[UpstreamError]) -> None:
    for read in (decode_chunk, decode_whole):
        with pytest.raises(kind):
            read(json.dumps(event).encode())


def test_an_error_that_is_null_is_none() -> None:
    assert decode_chunk(piece(choices=[], error=None)).choices == ()


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"[]", b'"x"', b'{"choices": 5}', b"\xff", b"[" * 100_000])
def test_what_is_not_in_the_format_is_garbled(body: bytes) -> None:
    for read in (decode_chunk, decode_whole):
        with pytest.raises(UpstreamGarbled):
            read(body)


@pytest.mark.parametrize("body", [b"{}", b'{"choices":[]}', b'{"choices":null}'])
def test_a_whole_answer_without_choices_is_garbled(body: bytes) -> None:
    with pytest.raises(UpstreamGarbled):
        decode_whole(body)


@settings(deadline=None, max_examples=400)
@given(
    st.binary(max_size=40)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "choices",
                        "delta",
                        "message",
                        "content",
                        "usage",
                        "error",
                        "object",
                        "code",
                        "tool_calls",
                        "function",
                        "index",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=10,
    ).map(msgspec.json.encode)
)
def test_whatever_comes_is_an_answer_or_an_upstream_error(data: bytes) -> None:
    for read in (decode_chunk, decode_whole):
        with suppress(UpstreamError):
            read(data)
