from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.errors import InvalidRequest
from undercroft.wire.multipart import (
    LONGEST_HEAD,
    MOST_PARTS,
    MultipartParser,
    PartBegins,
    PartData,
    PartEnds,
    boundary_of,
)

Parts = list[tuple[str, str | None, bytes]]
BOUNDARY = b"xYz"


def written(parts: Parts, *, boundary: bytes = BOUNDARY, preamble: bytes = b"", epilogue: bytes = b"\r\n") -> bytes:
    body = preamble
    for name, filename, data in parts:
        told = f'; filename="{filename}"' if filename is not None else ""
        head = f'Content-Disposition: form-data; name="{name}"{told}\r\nContent-Type: text/plain\r\n'
        body += b"--" + boundary + b"\r\n" + head.encode() + b"\r\n" + data + b"\r\n"
    return body + b"--" + boundary + b"--" + epilogue


def read(pieces: list[bytes], boundary: bytes = BOUNDARY) -> Parts:
    parser = MultipartParser(boundary)
    parts: Parts = []
    is_open = False
    for piece in pieces:
        for event in parser.feed(piece):
            match event:
                case PartBegins(name, filename):
                    assert not is_open
                    parts.append((name, filename, b""))
                    is_open = True
                case PartData(data):
                    assert is_open
                    assert data
                    parts[-1] = (*parts[-1][:2], parts[-1][2] + data)
                case PartEnds():
                    is_open = False
    parser.close()
    assert not is_open
    return parts


FORM: Parts = [
    ("purpose", None, b"batch"),
    ("empty", None, b""),
    ("file", "in.jsonl", b"\r\n--xY\r\n--x\r\n\r\n--xYy\r\nend\r\n"),
    ("file2", "", b"-xYz"),
]


def test_a_form_is_read_field_by_field() -> None:
    assert read([written(FORM)]) == FORM


@pytest.mark.parametrize("preamble", [b"", b"\r\n", b"Nobody reads this.\r\n"])
def test_what_stands_around_the_form_means_nothing(preamble: bytes) -> None:
    assert read([written(FORM, preamble=preamble, epilogue=b"\r\nnor this --xYz")]) == FORM


@given(st.lists(st.integers(0, len(written(FORM)) - 1), max_size=8))
def test_a_form_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    body = written(FORM)
    places = [0, *sorted(cuts), len(body)]
    assert read([body[start:end] for start, end in pairwise(places)]) == FORM


def test_a_form_reads_the_same_byte_by_byte() -> None:
    assert read([bytes([byte]) for byte in written(FORM)]) == FORM


BYTES = st.binary(max_size=64).filter(lambda data: not data.startswith(b"--xYz") and b"\r\n--xYz" not in data)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.none() | st.just("f"), BYTES), min_size=1, max_size=5))
def test_any_bytes_come_through(parts: Parts) -> None:
    assert read([written(parts)]) == parts


@given(st.binary(max_size=300))
def test_anything_else_is_refused_in_our_words(body: bytes) -> None:
    """No other exception leaves the parser."""
    with suppress(InvalidRequest):
        read([b"--xYz\r\n", body])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form at all",
        written(FORM)[:-8],
        b"--xYz\r\n\r\ndata\r\n--xYz--",
        b"--xYz\r\nContent-Disposition: form-data\r\n\r\ndata\r\n--xYz--",
        b'--xYz\r\nContent-Disposition: attachment; name="a"\r\n\r\ndata\r\n--xYz--',
        b'--xYzz\r\nContent-Disposition: form-data; name="a"\r\n\r\ndata\r\n--xYzz--',
        b"--xYz\r\nx: " + b"a" * LONGEST_HEAD,
        written([("a", None, b"")] * (MOST_PARTS + 1)),
    ],
)
def test_a_broken_form_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read([body])
    assert caught.value.code == "invalid_form"


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("a b.txt", "a b.txt"),
        ("q%22q.txt", 'q"q.txt'),
        ('q\\"q.txt', 'q"q.txt'),
        ("b\\\\b.txt", "b\\b.txt"),
        ("ä€.txt", "ä€.txt"),
    ],
)
def test_names_of_files_are_read_as_clients_write_them(sent: str, meant: str) -> None:
    assert read([written([("file", sent, b"x")])]) == [("file", meant, b"x")]


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b:c"', b"a b:c"),
        ("multipart/form-data;boundary=abc; charset=utf-8", b"abc"),
    ],
)
def test_the_boundary_is_found(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=a"])
def test_what_is_no_form_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        boundary_of(content_type)
    assert caught.value.code == "invalid_content_type"


def test_a_large_part_is_not_kept() -> None:
    parser = MultipartParser(BOUNDARY)
    list(parser.feed(written([("file", "f", b"")], epilogue=b"")[: -len("\r\n--xYz--")]))
    passed = sum(
        len(event.data) for _ in range(100) for event in parser.feed(b"\r\n-" * 40_000) if isinstance(event, PartData)
    )
    assert passed > 11_900_000
