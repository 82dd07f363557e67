from contextlib import suppress
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from undercroft.errors import InvalidRequest
from undercroft.wire.body import read, unsupported


class Item(msgspec.Struct):
    """An object inside an array."""

    name: str


class Body(msgspec.Struct):
    """A body with a field of every kind."""

    items: Annotated[list[Item], Meta(min_length=1, max_length=2)]
    count: Annotated[int, Meta(ge=1, le=128)] | None = None
    share: Annotated[float, Meta(ge=0, le=2)] | None = None
    title: Annotated[str, Meta(min_length=1, max_length=4)] | None = None
    text: str | list[str] | None = None
    ratios: dict[str, Annotated[float, Meta(le=1)]] | None = None
    labels: dict[Annotated[str, Meta(max_length=2)], str] | None = None


DECODER = msgspec.json.Decoder(Body)
GOOD = '"items":[{"name":"a"}]'


def refused(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(DECODER, body)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize(
    ("fields", "param", "code", "message"),
    [
        ("", "items", "missing_required_parameter", "Missing required parameter: 'items'."),
        ('"items":[{}]', "items[0].name", "missing_required_parameter", "Missing required parameter: 'items[0].name'."),
        (
            '"items":[]',
            "items",
            "empty_array",
            "Invalid 'items': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        ),
        (
            '"items":[{"name":"a"},{"name":"b"},{"name":"c"}]',
            "items",
            "array_above_max_length",
            (
                "Invalid 'items': array too long. Expected an array with maximum length 2, "
                "but got an array with length 3 instead."
            ),
        ),
        (
            '"items":"a"',
            "items",
            "invalid_type",
            "Invalid type for 'items': expected an array, but got a string instead.",
        ),
        (
            '"items":[5]',
            "items[0]",
            "invalid_type",
            "Invalid type for 'items[0]': expected an object, but got an integer instead.",
        ),
        (
            f'{GOOD},"count":"3"',
            "count",
            "invalid_type",
            "Invalid type for 'count': expected an integer, but got a string instead.",
        ),
        (
            f'{GOOD},"count":true',
            "count",
            "invalid_type",
            "Invalid type for 'count': expected an integer, but got a boolean instead.",
        ),
        (
            f'{GOOD},"text":5',
            "text",
            "invalid_type",
            "Invalid type for 'text': expected one of a string or an array, but got an integer instead.",
        ),
        (
            f'{GOOD},"count":200',
            "count",
            "integer_above_max_value",
            "Invalid 'count': integer above maximum value. Expected a value <= 128, but got 200 instead.",
        ),
        (
            f'{GOOD},"count":0',
            "count",
            "integer_below_min_value",
            "Invalid 'count': integer below minimum value. Expected a value >= 1, but got 0 instead.",
        ),
        (
            f'{GOOD},"share":2.5',
            "share",
            "decimal_above_max_value",
            "Invalid 'share': decimal above maximum value. Expected a value <= 2, but got 2.5 instead.",
        ),
        (
            f'{GOOD},"title":"abcde"',
            "title",
            "string_above_max_length",
            (
                "Invalid 'title': string too long. Expected a string with maximum length 4, "
                "but got a string with length 5 instead."
            ),
        ),
        (
            f'{GOOD},"title":""',
            "title",
            "empty_string",
            (
                "Invalid 'title': string too short. Expected a string with minimum length 1, "
                "but got a string with length 0 instead."
            ),
        ),
        (
            f'{GOOD},"labels":{{"long":"x"}}',
            "labels",
            "string_above_max_length",
            "Invalid 'labels': string too long. Expected a string with maximum length 2.",
        ),
        (
            f'{GOOD},"ratios":{{"a":2}}',
            "ratios[...]",
            "decimal_above_max_value",
            "Invalid 'ratios[...]': decimal above maximum value. Expected a value <= 1.",
        ),
    ],
)
def test_what_is_wrong_is_named_in_openais_words(fields: str, param: str, code: str, message: str) -> None:
    error = refused(b"{" + fields.encode() + b"}")
    assert (error.param, error.code, error.message) == (param, code, message)


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"null"])
def test_a_body_that_is_not_an_object_is_told_so(body: bytes) -> None:
    error = refused(body)
    assert error.code == "invalid_type"
    assert error.param is None
    assert "expected an object as the body" in error.message


UNREADABLE = [
    b"",
    b" ",
    b"{",
    b"{" + GOOD.encode(),
    b"{" + GOOD.encode() + b"} x",
    b"{" + GOOD.encode() + b",}",
    b"\xef\xbb\xbf{" + GOOD.encode() + b"}",
    *(
        b"{" + GOOD.encode() + b"," + field + b"}"
        for field in (
            b'"share":NaN',
            b'"share":Infinity',
            b'"share":1e400',
            b'"other":NaN',
            b'"other":-Infinity',
            b'"title":"\\ud800"',
            b'"other":"\\ud800"',
            b'"title":"\xff"',
            b'"other":"\xff"',
            b'"\xff":1',
            b'"other":"a\nb"',
            b'"other":01',
            b'"title":5,"other":NaN',
            b'"other":' + b"[" * 100_000 + b"]" * 100_000,
            b'"text":' + b"[" * 100_000 + b"]" * 100_000,
            b'"other":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        )
    ),
]


@pytest.mark.parametrize("body", UNREADABLE, ids=lambda body: repr(body[:60]))
def test_what_is_no_json_is_refused(body: bytes) -> None:
    assert refused(body).status == 400


def test_a_repeated_key_is_taken_at_its_last() -> None:
    assert read(DECODER, b"{" + GOOD.encode() + b',"count":1,"count":2}').count == 2


def test_a_large_wrong_body_is_not_decoded_again_to_quote_it() -> None:
    error = refused(b'{"other":"' + b"x" * 300_000 + b'",' + GOOD.encode() + b',"count":200}')
    assert error.message == "Invalid 'count': integer above maximum value. Expected a value <= 128."


@pytest.mark.parametrize(
    ("supported", "listed"),
    [(("a",), "'a'"), (("a", "b"), "'a' and 'b'"), (("a", "b", "c"), "'a', 'b', and 'c'")],
)
def test_the_values_that_would_do_are_listed(supported: tuple[str, ...], listed: str) -> None:
    assert (
        unsupported("role", got="x", supported=supported).message
        == f"Invalid value: 'x'. Supported values are: {listed}."
    )


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    inner: dict[str, "Strict"] = {}


def test_a_field_that_nobody_knows_is_named() -> None:
    reader = msgspec.json.Decoder(Strict)
    for body, param in ((b'{"handler":1}', "handler"), (b'{"inner":{"a":{"b":1}}}', "inner[...].b")):
        with pytest.raises(InvalidRequest) as caught:
            read(reader, body)
        error = caught.value
        assert (error.param, error.code, error.message) == (
            param,
            "unknown_parameter",
            f"Unknown parameter: '{param}'.",
        )
    with pytest.raises(InvalidRequest) as caught:
        read(reader, b'{"%b":1}' % (b"x" * 100_000))
    assert len(caught.value.message) < 200


def test_an_endless_wrong_value_is_quoted_in_part() -> None:
    assert len(unsupported("role", got="x" * 10_000, supported=("a",)).message) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["items", "name", "count", "share", "title", "text", "ratios"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=400)
@given(st.dictionaries(st.sampled_from(["items", "count", "share", "title", "text", "ratios"]), JSON) | JSON)
def test_any_json_is_read_or_refused(value: Any) -> None:
    body = msgspec.json.encode(value)
    with suppress(InvalidRequest):
        assert isinstance(read(DECODER, body), Body)


@settings(deadline=None, max_examples=400)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_without_a_crash(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(DECODER, body)
