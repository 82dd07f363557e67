import base64 as b64
import json
import struct
from array import array
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from undercroft.errors import InvalidRequest, UpstreamGarbled
from undercroft.llm.types import Chunk, EmbeddingsRequest, Usage
from undercroft.wire.openai.embeddings import decode, decode_whole, encode_request, whole

VECTORS = st.lists(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=4), min_size=1, max_size=3
)


def asked(**fields: Any) -> EmbeddingsRequest:
    return decode(json.dumps({"model": "m", "input": "x", **fields}).encode())


@pytest.mark.parametrize(
    ("given_input", "inputs"),
    [("x", ("x",)), (["a", "b"], ("a", "b")), ([1, 2], ((1, 2),)), ([[1], [2, 3]], ((1,), (2, 3)))],
)
def test_the_input_comes_in_four_forms(given_input: Any, inputs: tuple[Any, ...]) -> None:
    assert asked(input=given_input).inputs == inputs


def test_every_parameter_finds_its_place() -> None:
    request = asked(dimensions=256, encoding_format="base64", user="u")
    assert (request.dimensions, request.base64, request.end_user, request.stream) == (256, True, "u", False)
    assert not asked(encoding_format=None).base64


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": ""}, "input", "empty_string"),
        ({"input": []}, "input", "empty_array"),
        ({"input": ["a", ""]}, "input[1]", "empty_string"),
        ({"input": [[]]}, "input[0]", "empty_array"),
        ({"input": None}, "input", "invalid_type"),
        ({"input": {"text": "x"}}, "input", "invalid_type"),
        ({"input": ["a", 1]}, "input", "invalid_type"),
        ({"input": ["a"] * 2049}, "input", "array_above_max_length"),
        ({"input": [[1]] * 2049}, "input", "array_above_max_length"),
        ({"dimensions": 0}, "dimensions", "integer_below_min_value"),
        ({"encoding_format": "hex"}, "encoding_format", "invalid_value"),
    ],
)
def test_a_malformed_request_is_refused_by_the_name_of_its_field(fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked(**fields)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_2048_inputs_are_taken() -> None:
    assert len(asked(input=["a"] * 2048).inputs) == 2048


def chunk_of(vectors: list[list[float]]) -> Chunk:
    return Chunk(vectors=tuple(memoryview(array("f", vector)) for vector in vectors), usage=Usage(input=3))


def test_numbers_are_told_where_numbers_were_asked_for() -> None:
    answer = json.loads(whole(chunk_of([[0.5, -1.0], [2.0, 0.25]]), model="m", base64=False))
    CreateEmbeddingResponse.model_validate(answer)
    assert answer == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [2.0, 0.25]},
        ],
        "model": "m",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


def test_base64_is_little_endian_float32() -> None:
    answer = json.loads(whole(chunk_of([[0.5, -1.0]]), model="m", base64=True))
    assert struct.unpack("<2f", b64.b64decode(answer["data"][0]["embedding"])) == (0.5, -1.0)


def provided(vectors: list[list[float]], *, base64: bool) -> bytes:
    written = [b64.b64encode(array("f", v).tobytes()).decode() if base64 else v for v in vectors]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(written)]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return json.dumps({"object": "list", "data": data, "model": "up", "usage": usage, "new": 1}).encode()


@settings(deadline=None)
@given(VECTORS, st.booleans(), st.booleans())
def test_the_caller_gets_the_encoding_it_asked_for_whatever_the_provider_sent(
    vectors: list[list[float]], sent_base64: bool, asked_base64: bool
) -> None:
    body = provided(vectors, base64=sent_base64)
    chunk = decode_whole(body, base64=asked_base64)
    answer = whole(chunk, model="m", base64=asked_base64)
    assert (answer is body) == (sent_base64 == asked_base64)
    read = [item["embedding"] for item in json.loads(answer)["data"]]
    if asked_base64:
        read = [array("f", b64.b64decode(vector)).tolist() for vector in read]
    assert read == vectors
    assert [vector.tolist() for vector in chunk.vectors] == vectors
    assert (chunk.usage, chunk.model) == (Usage(input=3), "up")


def test_vectors_out_of_order_are_put_in_order() -> None:
    body = b'{"data":[{"index":1,"embedding":[2.0]},{"index":0,"embedding":[1.0]}]}'
    chunk = decode_whole(body, base64=False)
    assert [vector.tolist() for vector in chunk.vectors] == [[1.0], [2.0]]
    assert chunk.source is None


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"data":[]}',
        b'{"data":[{"embedding":"not base64!"}]}',
        b'{"data":[{"embedding":"\\u00e9"}]}',
        b'{"data":[{"embedding":"AAA="}]}',
        b'{"data":[{"embedding":[1,"x"]}]}',
        b"<html>",
    ],
)
def test_an_unusable_answer_is_garbled(body: bytes) -> None:
    with pytest.raises(UpstreamGarbled):
        decode_whole(body, base64=True)


def test_the_callers_own_bytes_are_passed_on_but_for_the_model() -> None:
    body = b'{"input":"x","model":"m","encoding_format":"base64","new":1}'
    assert json.loads(encode_request(decode(body), model="up")) == {**json.loads(body), "model": "up"}


@settings(deadline=None)
@given(
    st.builds(
        EmbeddingsRequest,
        model=st.just("up"),
        inputs=st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=3).map(tuple)
        | st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3).map(tuple),
        dimensions=st.none() | st.integers(1, 4096),
        base64=st.booleans(),
        end_user=st.sampled_from(["", "u"]),
    )
)
def test_what_is_written_for_a_provider_reads_back_as_the_same_request(request: EmbeddingsRequest) -> None:
    read = decode(encode_request(request, model="up"))
    assert msgspec.structs.replace(read, source=None) == request
