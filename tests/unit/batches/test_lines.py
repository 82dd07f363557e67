import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.batches import lines
from undercroft.batches.lines import LONGEST_LINE, LineRefused, parse, split

GOOD = b'{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"input": "x"}}'


async def pieces_of(pieces: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
    for piece in pieces:
        yield piece


def read(*pieces: bytes) -> list[tuple[int, bytes]]:
    async def run() -> list[tuple[int, bytes]]:
        return [each async for each in split(pieces_of(pieces))]

    return asyncio.run(run())


def test_lines_are_numbered_and_empty_ones_passed_over() -> None:
    assert read(b"a\n\n  \nb\r\nc") == [(1, b"a"), (4, b"b"), (5, b"c")]
    assert read(b"") == read(b"\n\n") == []


@given(st.lists(st.sampled_from([b"a", b"\n", b"bc", b"\r\n", b" "]), max_size=12))
def test_lines_are_the_same_however_the_file_is_cut(pieces: list[bytes]) -> None:
    assert read(*pieces) == read(b"".join(pieces))


def test_a_line_without_end_is_refused() -> None:
    piece = b"x" * 1_000_000
    with pytest.raises(LineRefused) as caught:
        read(b"a\n", *[piece] * (LONGEST_LINE // len(piece) + 1))
    assert (caught.value.error.line, caught.value.error.code) == (2, "line_too_long")


def test_a_line_is_read() -> None:
    line = parse(7, GOOD, endpoint="/v1/embeddings")
    assert (line.number, line.custom_id, line.body) == (7, "a", b'{"input": "x"}')
    assert parse(1, b"\xef\xbb\xbf" + GOOD, endpoint="/v1/embeddings").custom_id == "a"


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ((b'"a"', b'""'), "invalid_custom_id", "custom_id"),
        ((b'"a"', b'"' + b"a" * (lines.LONGEST_ID + 1) + b'"'), "invalid_custom_id", "custom_id"),
        ((b'"a"', b"5"), "invalid_type", "custom_id"),
        ((b"POST", b"GET"), "invalid_method", "method"),
        ((b"/v1/embeddings", b"/v1/responses"), "invalid_url", "url"),
        ((b'"custom_id": "a", ', b""), "missing_required_parameter", "custom_id"),
        ((b'"x"', b'"x", "input": "y"'), "duplicated_name", None),
        ((b"}}", b"}"), "invalid_json_line", None),
        ((b'"x"', b"NaN"), "invalid_json_line", None),
        ((b'"x"', b'"\xff"'), "invalid_json_line", None),
    ],
)
def test_a_wrong_line_is_named(change: tuple[bytes, bytes], code: str, param: str | None) -> None:
    with pytest.raises(LineRefused) as caught:
        parse(3, GOOD.replace(*change), endpoint="/v1/embeddings")
    error = caught.value.error
    assert (error.line, error.code, error.param) == (3, code, param)
    assert error.message


def test_what_is_no_object_is_refused() -> None:
    for text in (b"[]", b"1", b"null", b'"a"'):
        with pytest.raises(LineRefused):
            parse(1, text, endpoint="/v1/embeddings")
