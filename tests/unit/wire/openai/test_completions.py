import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Completion

from undercroft.errors import InvalidRequest, UpstreamGarbled, UpstreamOverloaded
from undercroft.llm.types import Choice, Chunk, CompletionRequest, Sampling, Usage
from undercroft.wire import sse
from undercroft.wire.openai.completions import (
    CompletionStream,
    decode,
    decode_chunk,
    decode_whole,
    encode_request,
    whole,
)

LOGPROBS = {"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": [{"a": -0.1}], "text_offset": [0]}
USAGE = Usage(input=2, output=3)


def asked(**fields: Any) -> CompletionRequest:
    return decode(json.dumps({"model": "chat", "prompt": "Once", **fields}).encode())


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("Once", ("Once",)),
        ("", ("",)),
        (["a", "b"], ("a", "b")),
        ([1, 2, 3], ((1, 2, 3),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
    ],
)
def test_the_prompt_comes_in_four_forms(prompt: Any, prompts: tuple[Any, ...]) -> None:
    assert asked(prompt=prompt).prompts == prompts


def test_every_parameter_finds_its_place() -> None:
    request = asked(
        n=2, best_of=3, max_tokens=5, logprobs=2, echo=True, suffix="end", stop="x", stream=True,
        stream_options={"include_usage": True}, user="u",
    )  # fmt: skip
    assert request.sampling == Sampling(n=2, max_tokens=5, stop=("x",))
    assert (request.logprobs, request.echo, request.suffix, request.end_user) == (2, True, "end", "u")
    assert (request.stream, request.include_usage) == (True, True)


def test_a_length_that_nobody_named_is_not_made_up() -> None:
    assert asked().sampling.max_tokens is None
    assert asked(max_tokens=0).sampling.max_tokens == 0
    assert asked(best_of=3).best_of == 3


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": None}, "prompt", "invalid_type"),
        ({"prompt": 5}, "prompt", "invalid_type"),
        ({"prompt": []}, "prompt", "empty_array"),
        ({"prompt": [[1], []]}, "prompt[1]", "empty_array"),
        ({"prompt": ["a", 1]}, "prompt", "invalid_type"),
        ({"prompt": [-1]}, "prompt[0]", "integer_below_min_value"),
        ({"prompt": [[1], "a"]}, "prompt", "invalid_type"),
        ({"prompt": [True]}, "prompt[0]", "invalid_type"),
        ({"logprobs": 6}, "logprobs", "integer_above_max_value"),
        ({"n": 3, "best_of": 2}, "best_of", "invalid_value"),
        ({"best_of": 21}, "best_of", "integer_above_max_value"),
        ({"max_tokens": -1}, "max_tokens", "integer_below_min_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"temperature": 3}, "temperature", "decimal_above_max_value"),
    ],
)
def test_a_malformed_request_is_refused_by_the_name_of_its_field(fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked(**fields)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_a_missing_prompt_is_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(b'{"model":"chat"}')
    assert caught.value.param == "prompt"


def test_a_whole_answer_has_every_required_key() -> None:
    chunk = Chunk(choices=(Choice(text="upon", logprobs=LOGPROBS, finish_reason="length"),), usage=USAGE)
    answer = json.loads(whole(chunk, id="cmpl-1", created=7, model="chat"))
    Completion.model_validate(answer)
    assert {name: answer[name] for name in ("id", "object", "created", "model", "choices", "system_fingerprint")} == {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 7,
        "model": "chat",
        "choices": [{"text": "upon", "index": 0, "logprobs": LOGPROBS, "finish_reason": "length"}],
        "system_fingerprint": None,
    }
    assert answer["usage"]["total_tokens"] == 5


def told(writer: CompletionStream, *chunks: Chunk, usage: Usage | None = None) -> list[Any]:
    data = b"".join([*map(writer.frame, chunks), writer.end(usage)])
    *payloads, done = sse.Events().feed(data)
    assert done == sse.DONE
    return [json.loads(payload) for payload in payloads]


def stream(*, include_usage: bool = False) -> CompletionStream:
    return CompletionStream(id="cmpl-1", created=7, model="chat", include_usage=include_usage)


def test_a_stream_tells_usage_once_at_the_end_if_asked_to() -> None:
    chunks = (Chunk(choices=(Choice(text="a"),)), Chunk(choices=(Choice(finish_reason="stop"),), usage=USAGE))
    frames = told(stream(include_usage=True), *chunks)
    assert [frame["choices"] for frame in frames] == [
        [{"text": "a", "index": 0, "logprobs": None, "finish_reason": None}],
        [{"text": "", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        [],
    ]
    assert [frame["usage"] and frame["usage"]["total_tokens"] for frame in frames] == [None, None, 5]
    assert all("usage" not in frame for frame in told(stream(), *chunks))


HEAD = b'{"id":"up","object":"text_completion","created":1,"model":"m","choices":'
PIECE = HEAD + b'[{"text":"a","index":0,"finish_reason":null}],"new":1}'
TOLD = HEAD + b'[],"usage":{"prompt_tokens":2,"completion_tokens":3}}'


def test_a_providers_own_pieces_pass_untouched_and_its_usage_only_when_asked_for() -> None:
    chunks = (decode_chunk(PIECE), decode_chunk(TOLD))
    assert stream().frame(chunks[0]) == sse.frame(PIECE)
    assert told(stream(), *chunks) == [json.loads(PIECE)]
    assert told(stream(include_usage=True), *chunks) == [json.loads(PIECE), json.loads(TOLD)]


def test_usage_beside_text_moves_to_the_end() -> None:
    both = PIECE[:-1] + b',"usage":{"prompt_tokens":2}}'
    frames = told(stream(include_usage=True), decode_chunk(both))
    assert (frames[0]["usage"], frames[0]["choices"][0]["text"]) == (None, "a")
    assert (frames[1]["usage"], frames[1]["choices"]) == ({"prompt_tokens": 2}, [])


def test_a_providers_whole_answer_passes_untouched() -> None:
    body = PIECE.replace(b"null", b'"stop"')
    chunk = decode_whole(body)
    assert chunk.choices == (Choice(text="a", finish_reason="stop"),)
    assert whole(chunk, id="i", created=1, model="m") is body


def test_errors_and_nonsense_from_a_provider_are_told_apart() -> None:
    with pytest.raises(UpstreamOverloaded):
        decode_chunk(b'{"error":{"message":"Busy."}}')
    with pytest.raises(UpstreamGarbled):
        decode_whole(b"<html>")
    with pytest.raises(UpstreamGarbled):
        decode_whole(b'{"choices":[]}')


def test_the_callers_own_bytes_are_passed_on_but_for_the_model() -> None:
    body = b'{"prompt":"x","model":"chat","best_of":2,"stream":true}'
    assert json.loads(encode_request(decode(body), model="up", ask_usage=True)) == {
        "prompt": "x",
        "model": "up",
        "best_of": 2,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@settings(deadline=None)
@given(
    st.builds(
        CompletionRequest,
        model=st.just("up"),
        prompts=st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=1, max_size=3).map(tuple)
        | st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3).map(tuple),
        sampling=st.builds(
            Sampling, max_tokens=st.integers(0, 99), n=st.integers(1, 5), temperature=st.none() | st.floats(0, 2)
        ),
        stream=st.sampled_from([True]),
        include_usage=st.booleans(),
        logprobs=st.none() | st.integers(0, 5),
        echo=st.booleans(),
        suffix=st.none() | st.just("s"),
        end_user=st.sampled_from(["", "u"]),
    )
)
def test_what_is_written_for_a_provider_reads_back_as_the_same_request(request: CompletionRequest) -> None:
    read = decode(encode_request(request, model="up", ask_usage=False))
    assert msgspec.structs.replace(read, source=None) == request
