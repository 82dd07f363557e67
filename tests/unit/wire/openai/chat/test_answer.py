import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from undercroft.errors import UpstreamUnreachable
from undercroft.llm.types import Choice, Chunk, ToolCallDelta, Usage
from undercroft.wire import sse
from undercroft.wire.openai.chat import ChatStream, decode_chunk, decode_whole, whole

USAGE = Usage(input=10, output=5, cache_read=4, cache_write=1, reasoning=2)
USAGE_TOLD = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 2,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
CALL = ToolCallDelta(index=0, id="call_1", name="f", arguments='{"a":1}')


def answer(*choices: Choice, **options: Any) -> dict[str, Any]:
    body = whole(Chunk(choices=choices, usage=USAGE), id="chatcmpl-1", created=7, model="chat", **options)
    read: dict[str, Any] = json.loads(body)
    ChatCompletion.model_validate(read)
    return read


def stream(*, include_usage: bool = False, legacy_functions: bool = False) -> ChatStream:
    return ChatStream(
        id="chatcmpl-1", created=7, model="chat", include_usage=include_usage, legacy_functions=legacy_functions
    )


def events(data: bytes) -> list[Any]:
    """Each event decoded; `[DONE]` as it is. Every chunk must be one to OpenAI's own SDK."""
    read = []
    for payload in sse.Events().feed(data):
        if payload == sse.DONE:
            read.append("[DONE]")
            continue
        event = json.loads(payload)
        if "error" not in event:
            ChatCompletionChunk.model_validate(event)
        read.append(event)
    return read


def told(writer: ChatStream, *chunks: Chunk, usage: Usage | None = None) -> list[Any]:
    return events(b"".join([*map(writer.frame, chunks), writer.end(usage)]))


# --- whole ------------------------------------------------------------------------------------------------------------


def test_a_whole_answer_has_every_required_key() -> None:
    assert answer(Choice(role="assistant", text="Hi", finish_reason="stop")) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "chat",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE_TOLD,
        "system_fingerprint": None,
    }


def test_tool_calls_come_with_null_content() -> None:
    custom = ToolCallDelta(index=1, id="call_2", name="g", arguments="free", type="custom")
    choice = answer(Choice(tool_calls=(CALL, custom), finish_reason="tool_calls"))["choices"][0]
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"type": "function", "id": "call_1", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"type": "custom", "id": "call_2", "custom": {"name": "g", "input": "free"}},
    ]
    assert choice["finish_reason"] == "tool_calls"


def test_a_caller_of_the_older_functions_reads_function_call() -> None:
    choice = answer(Choice(tool_calls=(CALL,), finish_reason="tool_calls"), legacy_functions=True)["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "function_call"


def test_refusal_reasoning_and_logprobs_have_their_places() -> None:
    logprobs = {"content": [{"token": "No", "logprob": -0.1, "bytes": [78, 111], "top_logprobs": []}], "refusal": None}
    choice = answer(Choice(refusal="No.", reasoning="Hm.", logprobs=logprobs, finish_reason="stop"))["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": "No.", "reasoning_content": "Hm."}
    assert choice["logprobs"] == logprobs


def test_an_empty_answer_is_an_empty_string() -> None:
    assert answer(Choice(finish_reason="stop"))["choices"][0]["message"]["content"] == ""


def test_a_providers_own_whole_answer_passes_untouched() -> None:
    body = b'{"choices": [ {"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],  "new": 1}'
    assert whole(decode_whole(body), id="i", created=1, model="m") is body


def test_the_bytes_of_a_streams_event_are_never_given_as_a_whole_answer() -> None:
    chunk = decode_chunk(b'{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}')
    assert json.loads(whole(chunk, id="i", created=1, model="m"))["choices"][0]["message"]["content"] == "x"


# --- streams we write -------------------------------------------------------------------------------------------------


def test_a_stream_begins_with_the_role_and_ends_with_an_empty_delta() -> None:
    frames = told(
        stream(),
        Chunk(choices=(Choice(text="He"),)),
        Chunk(choices=(Choice(text="llo"),)),
        Chunk(choices=(Choice(finish_reason="stop"),), usage=USAGE),
    )
    assert frames[-1] == "[DONE]"
    deltas = [frame["choices"][0]["delta"] for frame in frames[:-1]]
    assert deltas == [{"role": "assistant", "content": "He"}, {"content": "llo"}, {}]
    assert [frame["choices"][0]["finish_reason"] for frame in frames[:-1]] == [None, None, "stop"]
    assert {(f["id"], f["object"], f["created"], f["model"]) for f in frames[:-1]} == {
        ("chatcmpl-1", "chat.completion.chunk", 7, "chat")
    }
    assert all("usage" not in frame for frame in frames[:-1])


def test_a_whole_answer_streams_as_content_then_end() -> None:
    frames = told(stream(), Chunk(choices=(Choice(role="assistant", text="Hi", finish_reason="stop"),)))
    assert [(f["choices"][0]["delta"], f["choices"][0]["finish_reason"]) for f in frames[:-1]] == [
        ({"role": "assistant", "content": "Hi"}, None),
        ({}, "stop"),
    ]


def test_usage_is_told_once_at_the_end_and_only_when_asked_for() -> None:
    chunks = (
        Chunk(choices=(Choice(text="Hi"),), usage=Usage(input=1)),
        Chunk(choices=(Choice(finish_reason="stop"),)),
        Chunk(usage=USAGE),
    )
    frames = told(stream(include_usage=True), *chunks)
    assert [frame["usage"] for frame in frames[:-1]] == [None, None, USAGE_TOLD]
    assert frames[-2]["choices"] == []
    assert all("usage" not in frame for frame in told(stream(), *chunks)[:-1])


def test_an_estimate_is_told_where_the_provider_counted_nothing() -> None:
    frames = told(stream(include_usage=True), Chunk(choices=(Choice(text="Hi", finish_reason="stop"),)), usage=USAGE)
    assert frames[-2]["usage"] == USAGE_TOLD


def test_usage_nobody_knows_is_not_invented() -> None:
    frames = told(stream(include_usage=True), Chunk(choices=(Choice(text="Hi", finish_reason="stop"),)))
    assert all(frame["choices"] for frame in frames[:-1])


def test_each_choice_has_its_own_beginning_and_end() -> None:
    frames = told(
        stream(),
        Chunk(choices=(Choice(index=0, text="a"), Choice(index=1, text="b"))),
        Chunk(choices=(Choice(index=1, finish_reason="stop"), Choice(index=0, text="c", finish_reason="length"))),
    )
    said = [(f["choices"][0]["index"], f["choices"][0]["delta"], f["choices"][0]["finish_reason"]) for f in frames[:-1]]
    assert said == [
        (0, {"role": "assistant", "content": "a"}, None),
        (1, {"role": "assistant", "content": "b"}, None),
        (1, {}, "stop"),
        (0, {"content": "c"}, None),
        (0, {}, "length"),
    ]


def test_a_tool_call_streams_its_name_once_and_its_arguments_in_pieces() -> None:
    frames = told(
        stream(),
        Chunk(choices=(Choice(tool_calls=(ToolCallDelta(index=0, id="call_1", name="f"),)),)),
        Chunk(choices=(Choice(tool_calls=(ToolCallDelta(index=0, arguments='{"a"'),)),)),
        Chunk(choices=(Choice(tool_calls=(ToolCallDelta(index=0, arguments=":1}"),)),)),
        Chunk(choices=(Choice(finish_reason="tool_calls"),)),
    )
    assert frames[0]["choices"][0]["delta"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}, "id": "call_1", "type": "function"}],
    }
    assert [frame["choices"][0]["delta"] for frame in frames[1:-2]] == [
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
    ]


def test_a_custom_tools_input_streams_under_its_own_name() -> None:
    piece = ToolCallDelta(index=0, id="call_2", name="g", arguments="free", type="custom")
    payload = sse.Events().feed(stream().frame(Chunk(choices=(Choice(tool_calls=(piece,)),))))[0]
    assert json.loads(payload)["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "custom": {"name": "g", "input": "free"}, "id": "call_2", "type": "custom"}
    ]


def test_the_older_functions_stream_as_function_call() -> None:
    frames = told(
        stream(legacy_functions=True), Chunk(choices=(Choice(tool_calls=(CALL,), finish_reason="tool_calls"),))
    )
    assert frames[0]["choices"][0]["delta"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert frames[1]["choices"][0]["finish_reason"] == "function_call"


def test_refusal_reasoning_and_logprobs_stream_too() -> None:
    token = {"token": "N", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    logprobs: dict[str, Any] = {"content": [token], "refusal": None}
    frame = told(stream(), Chunk(choices=(Choice(refusal="No", reasoning="Hm", logprobs=logprobs),)))[0]
    assert frame["choices"][0]["delta"]["refusal"] == "No"
    assert frame["choices"][0]["delta"]["reasoning_content"] == "Hm"
    assert frame["choices"][0]["logprobs"] == logprobs


def test_a_broken_stream_ends_in_an_error_without_done() -> None:
    assert events(stream().error(UpstreamUnreachable("Gone.")))[-1]["error"]["message"] == "Gone."


# --- streams we pass on -----------------------------------------------------------------------------------------------

HEAD = b'{"id":"up-1","object":"chat.completion.chunk","created":3,"model":"m","choices":'
CONTENT = HEAD + b'[{"index":0,"delta":{"content":"x"},"finish_reason":null}], "new":1}'
END = HEAD + b'[{"index":0,"delta":{},"finish_reason":"stop"}]}'
TOLD = b'{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"new_count":3}'
USAGE_ONLY = HEAD + b'[],"usage":' + TOLD + b"}"


def passed(*payloads: bytes, include_usage: bool, usage: Usage | None = None) -> list[Any]:
    return told(stream(include_usage=include_usage), *map(decode_chunk, payloads), usage=usage)


def test_a_providers_own_chunk_passes_untouched() -> None:
    assert stream().frame(decode_chunk(CONTENT)) == b"data: " + CONTENT + b"\n\n"


def test_a_payload_of_several_lines_stays_one_event() -> None:
    spread = CONTENT.replace(b", ", b",\n")
    assert sse.Events().feed(stream().frame(decode_chunk(spread))) == [spread]


def test_a_usage_chunk_is_kept_from_a_caller_who_did_not_ask() -> None:
    assert passed(CONTENT, END, USAGE_ONLY, include_usage=False) == [json.loads(CONTENT), json.loads(END), "[DONE]"]


def test_a_usage_chunk_reaches_the_caller_who_asked_with_all_its_counts() -> None:
    frames = passed(CONTENT, END, USAGE_ONLY, include_usage=True)
    assert frames[2:] == [json.loads(USAGE_ONLY), "[DONE]"]


def test_usage_told_twice_is_passed_on_once() -> None:
    frames = passed(CONTENT, END, USAGE_ONLY, USAGE_ONLY, include_usage=True)
    assert [frame["choices"] for frame in frames[:-1]].count([]) == 1


@pytest.mark.parametrize(
    "choices", [b'[{"delta":{}}]', b'[{"index":0,"delta":{"content":""},"finish_reason":null}]', b"null"]
)
def test_a_usage_chunk_with_a_silent_choice_counts_as_one_without(choices: bytes) -> None:
    odd = USAGE_ONLY.replace(b'"choices":[]', b'"choices":' + choices)
    assert passed(CONTENT, END, odd, include_usage=False)[2:] == ["[DONE]"]
    frames = passed(CONTENT, END, odd, include_usage=True)
    assert frames[2]["choices"] == []
    assert frames[2]["usage"]["prompt_tokens"] == 10
    assert frames[2]["id"] == "up-1"


def test_a_usage_chunk_without_choices_is_given_an_empty_list() -> None:
    odd = USAGE_ONLY.replace(b'"choices":[],', b"")
    frames = passed(CONTENT, END, odd, include_usage=True)
    assert (frames[2]["choices"], frames[2]["id"]) == ([], "up-1")
    assert passed(CONTENT, END, odd, include_usage=False)[2:] == ["[DONE]"]


def test_usage_beside_the_last_words_moves_to_the_end() -> None:
    both = END[:-1] + b',"usage":' + TOLD + b"}"
    frames = passed(CONTENT, both, include_usage=True)
    assert frames[1] == {**json.loads(END), "usage": None}
    assert frames[2]["usage"] == json.loads(TOLD)
    assert passed(CONTENT, both, include_usage=False)[1:] == [json.loads(END), "[DONE]"]


def test_an_unknown_piece_of_a_delta_is_something_said() -> None:
    odd = CONTENT.replace(b'"content":"x"', b'"audio":{"data":"AA=="}')[:-1] + b',"usage":' + TOLD + b"}"
    assert passed(odd, include_usage=False)[0]["choices"][0]["delta"] == {"audio": {"data": "AA=="}}


def test_a_usage_chunk_we_add_carries_the_providers_id() -> None:
    frames = passed(CONTENT, END, include_usage=True, usage=USAGE)
    assert (frames[2]["id"], frames[2]["created"], frames[2]["usage"]) == ("up-1", 3, USAGE_TOLD)


def test_a_chunk_without_choices_or_usage_is_dropped() -> None:
    assert stream().frame(decode_chunk(b'{"id":"up-1","object":"chat.completion.chunk"}')) == b""


def test_interleaved_choices_pass_in_their_order() -> None:
    payloads = [CONTENT.replace(b'"index":0', b'"index":%d' % index) for index in (0, 1, 1, 0)]
    frames = passed(*payloads, include_usage=False)
    assert [frame["choices"][0]["index"] for frame in frames[:-1]] == [0, 1, 1, 0]


def test_a_stream_that_somebody_else_goes_on_with_keeps_its_id_and_has_one_role() -> None:
    begun = json.dumps(
        {"id": "chatcmpl-theirs", "object": "chat.completion.chunk", "created": 7, "model": "first",
         "choices": [{"index": 0, "delta": {"role": "assistant", "content": "one"}, "finish_reason": None}]}
    ).encode()  # fmt: skip
    stream = ChatStream(id="chatcmpl-ours", created=1, model="ours", include_usage=True)
    written = stream.frame(Chunk(choices=(Choice(role="assistant", text="one"),), source=begun))
    written += stream.frame(Chunk(choices=(Choice(text=" two"),)))
    written += stream.frame(Chunk(choices=(Choice(finish_reason="stop"),), usage=Usage(input=3, output=2)))
    written += stream.end(Usage(input=3, output=2))
    *frames, done = written.decode().removesuffix("\n\n").split("\n\n")
    events = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    assert done == "data: [DONE]"
    assert {(event["id"], event["created"], event["model"]) for event in events} == {("chatcmpl-theirs", 7, "first")}
    assert [event["choices"][0]["delta"] for event in events[:-1]] == [
        {"role": "assistant", "content": "one"},
        {"content": " two"},
        {},
    ]
    assert events[-1]["usage"]["total_tokens"] == 5
