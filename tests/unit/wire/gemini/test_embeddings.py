"""Vectors from Gemini."""

import msgspec
import pytest

from undercroft.errors import InvalidRequest, UpstreamGarbled, UpstreamOverloaded
from undercroft.record import Usage
from undercroft.wire import gemini


def test_one_input_goes_by_itself_and_several_as_a_batch() -> None:
    asked = {"model": "models/e", "content": {"parts": [{"text": "a"}]}, "outputDimensionality": 8}
    one = gemini.encode_embeddings(("a",), model="models/e", dimensions=8)
    two = gemini.encode_embeddings(("a", "a"), model="models/e", dimensions=8)
    assert msgspec.json.decode(one) == asked
    assert msgspec.json.decode(two) == {"requests": [asked, asked]}


def test_token_ids_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="token ids") as refused:
        gemini.encode_embeddings(((1, 2),), model="models/e", dimensions=None)
    assert refused.value.param == "input"


@pytest.mark.parametrize(
    ("body", "vectors"),
    [
        (b'{"embedding":{"values":[1,0.5]}}', [[1.0, 0.5]]),
        (b'{"embeddings":[{"values":[1]},{"values":[2]}]}', [[1.0], [2.0]]),
        (b"{}", []),
    ],
)
def test_both_forms_of_the_answer_are_read(body: bytes, vectors: list[list[float]]) -> None:
    assert [vector.tolist() for vector in gemini.decode_embeddings(body).vectors] == vectors


def test_usage_is_told_where_the_model_tells_it() -> None:
    assert gemini.decode_embeddings(b'{"embedding":{"values":[1]}}').usage is None
    told = gemini.decode_embeddings(b'{"embedding":{"values":[1]},"usageMetadata":{"promptTokenCount":3}}')
    assert told.usage == Usage(input=3)


def test_what_is_no_vector_is_garbled() -> None:
    for body in (b"<html>", b'{"embedding":{"values":"x"}}', b"\xff"):
        with pytest.raises(UpstreamGarbled):
            gemini.decode_embeddings(body)


def test_an_error_is_raised() -> None:
    with pytest.raises(UpstreamOverloaded):
        gemini.decode_embeddings(b'{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}')
