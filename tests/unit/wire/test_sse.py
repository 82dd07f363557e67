from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undercroft.errors import UpstreamGarbled
from undercroft.wire import sse

PIECES = st.lists(
    st.sampled_from(
        [
            b"data: ",
            b"data:",
            b"data",
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b": keepalive",
            b"event: x",
            b"id: 1",
            b"{}",
            b"x",
            b" ",
            b":",
            b"\xef\xbb\xbf",
            "é".encode(),
            b"\xc3",
            b"\x00",
            b"[DONE]",
            b"data: {}\n\n",
            b"data: 1\n\ndata: 2\n\n",
            b"event: x\ndata: 1\n\n",
            b"event: x\ndata: 1\nx",
        ]
    ),
    max_size=24,
).map(b"".join)
STREAMS = PIECES | st.binary(max_size=64)


def read(*pieces: bytes, max_event_bytes: int = sse.MAX_EVENT_BYTES) -> tuple[list[bytes], bool]:
    events = sse.Events(max_event_bytes=max_event_bytes)
    payloads = [payload for piece in pieces for payload in events.feed(piece)]
    return payloads, events.end()


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@settings(deadline=None, max_examples=500)
@given(STREAMS, st.lists(st.integers(0, 10_000), max_size=12))
def test_a_stream_cut_anywhere_parses_like_the_uncut_one(stream: bytes, places: list[int]) -> None:
    assert read(*cut(stream, places)) == read(stream)


@settings(deadline=None, max_examples=200)
@given(STREAMS)
def test_a_stream_read_byte_by_byte_parses_like_the_uncut_one(stream: bytes) -> None:
    assert read(*[stream[at : at + 1] for at in range(len(stream))]) == read(stream)


@settings(deadline=None, max_examples=300)
@given(STREAMS, st.lists(st.integers(0, 10_000), max_size=6), st.integers(1, 20))
def test_whether_an_event_is_too_long_does_not_depend_on_the_cuts(stream: bytes, places: list[int], limit: int) -> None:
    def outcome(pieces: list[bytes]) -> tuple[list[bytes], bool] | None:
        try:
            return read(*pieces, max_event_bytes=limit)
        except UpstreamGarbled:
            return None

    assert outcome(cut(stream, places)) == outcome([stream])


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda payload: b"\r" not in payload), max_size=6))
def test_what_is_framed_is_read_back(payloads: list[bytes]) -> None:
    assert read(b"".join(map(sse.frame, payloads))) == ([p for p in payloads if p], False)


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"]),
        (b": keepalive\n\ndata: a\n\n: again\n\n", [b"a"]),
        (b"event: delta\nid: 7\nretry: 10\ndata: a\n\n", [b"a"]),
        (b"data\n\ndata:\n\ndata: \n\n", []),
        (b"\n\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"data: [DONE]\n\n", [sse.DONE]),
        (b"datax: a\n\n", []),
    ],
)
def test_every_line_end_and_field_of_the_format_is_understood(stream: bytes, payloads: list[bytes]) -> None:
    assert read(stream) == (payloads, False)


@pytest.mark.parametrize(
    ("stream", "is_partial"),
    [(b"data: a\n\n", False), (b"data: a\n", True), (b"data: a\n\nda", True), (b"data: a\n\n\n", False), (b"", False)],
)
def test_the_end_tells_whether_an_event_was_cut(stream: bytes, is_partial: bool) -> None:
    assert read(stream)[1] is is_partial


def test_an_event_of_more_than_ten_megabytes_is_refused() -> None:
    with pytest.raises(UpstreamGarbled):
        read(*[b"x" * 65_536] * 161)
    read(*[b"x" * 65_536] * 160)


def test_a_large_event_in_small_pieces_is_read_in_linear_time() -> None:
    payload = b"x" * 4_000_000
    stream = sse.frame(payload)
    pieces = [stream[at : at + 4096] for at in range(0, len(stream), 4096)]
    assert read(*pieces) == ([payload], False)


@pytest.mark.parametrize(
    ("piece", "payloads"),
    [
        (b"event: a\ndata: 1\n\n", [b"1"]),
        (b"event: a\ndata: 1\n\nevent: b\ndata: 2\n\n", [b"1", b"2"]),
        (b"event: a\ndata: 1\nx", []),
        (b"event: a\ndata: 1\n", []),
        (b"event: a\ndata: \n\n", []),
        (b"event: a\ndata: 1\ndata: 2\n\n", [b"1\n2"]),
        (b"event: data: 1\n\n", []),
    ],
)
def test_named_events_are_read_as_others_are(piece: bytes, payloads: list[bytes]) -> None:
    assert read(piece)[0] == payloads
    assert read(*(bytes([byte]) for byte in piece))[0] == payloads
