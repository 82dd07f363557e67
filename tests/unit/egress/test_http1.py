from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.egress.http1 import (
    MAX_HEAD_BYTES,
    Chunked,
    Framing,
    Head,
    Sized,
    UntilClose,
    below,
    request_below,
    request_head,
    whole_body_of,
)
from undercroft.errors import ConfigurationError, UpstreamGarbled

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nRetry-After:  7 \r\nretry-after: 8\r\nX-Empty:"


def fed(framing: Framing, *pieces: bytes) -> bytes:
    return b"".join(framing.feed(piece) for piece in pieces)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


@pytest.mark.parametrize("traceparent", ["", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"])
def test_a_whole_request_is_its_head_below_what_it_is_below_and_its_body(traceparent: str) -> None:
    head = request_head("POST", "/v1/chat", host="h:1", fields={"a": "b"})
    expected = (below(head, traceparent) if traceparent else head) + b"5\r\n\r\nhello"
    assert request_below(head, traceparent, b"hello") == expected


def test_a_request_head_ends_where_its_length_follows() -> None:
    head = request_head("POST", "/v1/chat", host="h:1", fields={"a": "b"})
    assert head == b"POST /v1/chat HTTP/1.1\r\nhost: h:1\r\na: b\r\ncontent-length: "


@pytest.mark.parametrize("value", ["sk-1\r\nevil: 1", "sk-1\n", "sk-\x00", "sk-é"])
def test_a_key_that_would_break_the_head_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        request_head("POST", "/", host="h", fields={"authorization": value})
    assert "sk-" not in str(caught.value)


def test_a_path_with_a_blank_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        request_head("POST", "/a b", host="h", fields={})


def test_fields_are_found_in_any_case_and_the_first_of_several_counts() -> None:
    headers = Head(HEAD).headers
    assert headers["content-type"] == headers["Content-Type"] == "application/json"
    assert headers.get("retry-after") == "7"
    assert headers["x-empty"] == ""
    assert headers.get("content-typ") is None
    assert "Retry-After" in headers
    assert "retry" not in headers
    assert dict(headers) == {"content-type": "application/json", "retry-after": "7", "x-empty": ""}
    assert len(headers) == 3


@pytest.mark.parametrize(
    ("fields", "framing", "keeps_open"),
    [
        (b"\r\nContent-Length: 12", Sized, True),
        (b"\r\nContent-Length:\t12 ", Sized, True),
        (b"\r\nTransfer-Encoding: chunked", Chunked, True),
        (b"\r\ntransfer-encoding: CHUNKED\r\nContent-Length: 3", Chunked, False),
        (b"\r\nContent-Length: 12\r\nConnection: close", Sized, False),
        (b"\r\nContent-Length: 12\r\nConnection: Keep-Alive", Sized, True),
        (b"", UntilClose, False),
    ],
)
def test_the_fields_say_how_the_body_ends(fields: bytes, framing: type[Framing], keeps_open: bool) -> None:
    head = Head(b"HTTP/1.1 200 OK" + fields)
    assert type(head.framing) is framing
    assert head.keeps_open == keeps_open


def test_http_1_0_does_not_keep_the_connection() -> None:
    assert not Head(b"HTTP/1.0 200 OK\r\nContent-Length: 1").keeps_open


@pytest.mark.parametrize("status", [b"204", b"304"])
def test_these_statuses_have_no_body(status: bytes) -> None:
    assert Head(b"HTTP/1.1 " + status + b" \r\nContent-Length: 5").framing.ended


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6",
        b"HTTP/2 200",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 200 OK\r\n folded: 1",
        b"HTTP/1.1 200 OK\r\nname : 1",
        b"HTTP/1.1 200 OK\r\nno colon",
        b"HTTP/1.1 200 OK\nContent-Length: 5",
        b"HTTP/1.1 200 OK\r\nname: a\x00b",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x5",
        b"HTTP/1.1 200 OK\r\nContent-Length:",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ],
)
def test_a_head_that_is_not_exactly_http_is_garbled(head: bytes) -> None:
    with pytest.raises(UpstreamGarbled):
        Head(head)


def test_a_sized_body_ends_with_its_last_byte_and_notes_what_follows() -> None:
    body = Sized(5)
    assert body.feed(b"abc") == b"abc"
    assert not body.ended
    assert body.feed(b"defg") == b"de"
    assert (body.ended, body.overrun) == (True, True)


CHUNKS = b'5;name="a;b"\r\nhello\r\n00A \r\n, world\r\n!\r\n0\r\nX-Trailer: 1\r\nY: 2\r\n\r\n'


@given(st.lists(st.integers(0, 1000), max_size=30))
def test_chunks_cut_anywhere_read_the_same(places: list[int]) -> None:
    body = Chunked()
    assert fed(body, *cut(CHUNKS, places)) == b"hello, world\r\n!"
    assert (body.ended, body.overrun) == (True, False)


@given(st.lists(st.binary(min_size=1, max_size=50)), st.lists(st.integers(0, 5000), max_size=20), st.binary(max_size=3))
def test_any_payload_comes_out_of_its_chunks(payloads: list[bytes], places: list[int], rest: bytes) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(payload), payload) for payload in payloads) + b"0\r\n\r\n" + rest
    body = Chunked()
    pieces = cut(data, places)
    fed_pieces = b""
    for piece in pieces:
        fed_pieces += body.feed(piece)
        if body.ended:
            break
    assert fed_pieces == b"".join(payloads)
    assert body.ended


@given(st.binary(min_size=1, max_size=5000))
def test_one_whole_chunk_is_read_at_once(payload: bytes) -> None:
    body = Chunked()
    chunk = b"%x\r\n%b\r\n" % (len(payload), payload)
    for _ in range(3):
        assert body.feed(chunk) == payload
        assert body.is_between


@pytest.mark.parametrize(
    "before", [b"5", b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r", b"0\r\n", b"5;extension", b"0\r\n\r\n"]
)
def test_in_the_middle_of_something_no_chunk_begins(before: bytes) -> None:
    body = Chunked()
    body.feed(b"4\r\nword\r\n" + before)
    assert not body.is_between


@pytest.mark.parametrize(
    "written", [b"5 \r\nhello\r\n", b"05\r\nhello\r\n", b"A\r\n0123456789\r\n", b"5;a\r\nhello\r\n"]
)
def test_a_chunk_that_is_written_oddly_is_read_too(written: bytes) -> None:
    assert Chunked().feed(written) in (b"hello", b"0123456789")


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_no_bytes_break_the_chunk_reader(data: bytes, places: list[int]) -> None:
    with suppress(UpstreamGarbled):
        assert len(fed(Chunked(), *cut(data, places))) <= len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"zz\r\n",
        b"0x5\r\nhello",
        b"-5\r\nhello",
        b"5_0\r\nhello",
        b"\r\nhello",
        b"5 hello\r\n",
        b"5\nhello\n",
        b"5\r\nhelloXX",
        b"5\r\nhello\rX",
        b"ffffffffffffffff\r\n",
        b"5" * 5000,
        b"0\r\n" + b"a: b\r\n" * 20_000,
        b"0\r\n" + b"a" * (MAX_HEAD_BYTES + 1),
    ],
)
@pytest.mark.parametrize("step", [1, 4096, 1_000_000])
def test_broken_chunks_are_garbled(data: bytes, step: int) -> None:
    with pytest.raises(UpstreamGarbled):
        fed(Chunked(), *(data[start : start + step] for start in range(0, len(data), step)))


LINES = st.sampled_from(
    (
        b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.0 200 OK", b"HTTP/1.1 201 Created", b"HTTP/1.1 500 No",
        b"Content-Length: 5", b"content-length: 5", b"content-length: 05", b"content-length: 6", b"Content-Length:5",
        b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"Connection: keep-alive", b"connection: close",
        b"Connection: Keep-Alive", b"x-request-id: content-length: 5", b"Date: Thu", b"bad line", b"\0: x", b" folded",
    )
)  # fmt: skip


@given(st.lists(LINES, max_size=7), st.sampled_from((b"hello", b"hell", b"hello!", b"")), st.booleans())
def test_what_is_taken_for_a_whole_answer_reads_so(lines: list[bytes], body: bytes, well: bool) -> None:
    head = b"\r\n".join(([b"HTTP/1.1 200 OK", b"content-length: 5"] if well else []) + lines)
    data = head + b"\r\n\r\n" + body
    start = whole_body_of(data)
    if not start:
        return
    read = Head(data[: start - 4])
    assert (read.status, read.keeps_open, type(read.framing)) == (200, True, Sized)
    assert "content-encoding" not in read.headers
    assert read.framing.feed(data[start:]) == data[start:]
    assert (read.framing.ended, read.framing.overrun) == (True, False)


@pytest.mark.parametrize("more", [b"", b"Date: now\r\n", b"connection: keep-alive\r\n", b"x-content-length: 9\r\n"])
def test_the_usual_answer_is_seen_to_be_whole(more: bytes) -> None:
    data = b"HTTP/1.1 200 OK\r\n%bContent-Length: 5\r\n\r\nhello" % more
    assert data[whole_body_of(data) :] == b"hello"
    assert whole_body_of(data[:-1]) == whole_body_of(data + b"!") == whole_body_of(data[:20]) == 0
