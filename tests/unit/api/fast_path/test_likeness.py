"""Comparing bytes says the same as reading the JSON."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.api.fast_path.likeness import Likeness
from undercroft.errors import UpstreamError
from undercroft.wire import sse
from undercroft.wire.openai.chat import decode_chunk


def payload(text: bytes, *, more: bytes = b"", finish: bytes = b"null") -> bytes:
    return b'{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":%b}]%b}' % (
        text,
        finish,
        more,
    )


def likeness(event: bytes) -> Likeness | None:
    return Likeness.of(decode_chunk(event))


def characters(like: Likeness, event: bytes) -> int | None:
    """Of an event that is alone in a chunk."""
    return like.characters_of(b"%x\r\n%b\r\n" % (len(event), event))


FIRST = payload(b"word")


def test_the_next_word_is_like_the_one_before() -> None:
    like = likeness(FIRST)
    assert like is not None
    assert characters(like, sse.frame(payload(b"another"))) == len("another")


@pytest.mark.parametrize(
    "event",
    [
        sse.frame(payload(b'quo\\"ted')),
        sse.frame(payload(b"line\\n")),
        sse.frame(payload(b'a","x":"b')),
        sse.frame(payload(b"raw\x01control")),
        sse.frame(payload(b"\xff")),
        sse.frame(payload(b"end", finish=b'"stop"')),
        sse.frame(payload(b"more", more=b',"usage":null')),
        sse.frame(payload(b"a")) + sse.frame(payload(b"b")),
        sse.frame(payload(b"half"))[:-1],
        b"data: [DONE]\n\n",
        b"",
    ],
)
def test_whatever_is_more_than_a_plain_word_is_read(event: bytes) -> None:
    like = likeness(FIRST)
    assert like is not None
    assert characters(like, event) is None


@pytest.mark.parametrize(
    "chunk",
    [
        b"%(longer)x\r\n%(event)b\r\n",
        b"%(shorter)x\r\n%(event)b\r\n",
        b"%(size)X\r\n%(event)b\r\n",  # nobody writes it so
        b"0%(size)x\r\n%(event)b\r\n",
        b"%(size)x;name\r\n%(event)b\r\n",
        b"%(size)x\r\n%(event)b",
        b"%(size)x\r\n%(event)b\r\n0\r\n\r\n",
        b"%(event)b",
    ],
)
def test_a_chunk_that_is_another_than_it_says_is_read(chunk: bytes) -> None:
    like = likeness(FIRST)
    assert like is not None
    event = sse.frame(payload(b"another " * 12))
    size = len(event)
    assert b"%X" % size != b"%x" % size
    values = {b"longer": size + 1, b"shorter": size - 1, b"size": size, b"event": event}
    assert characters(like, event)
    assert like.characters_of(chunk % values) is None


def test_texts_of_any_length_are_told() -> None:
    like = likeness(FIRST)
    assert like is not None
    for length in [*range(300), 4096, 65_536, 1_048_576]:
        assert characters(like, sse.frame(payload(b"a" * length))) == length
    assert [like.characters_of(b"a" * length) for length in range(300)] == [None] * 300


@pytest.mark.parametrize(
    "event",
    [
        payload(b""),
        payload(b"esc\\u0061ped"),
        payload(b"word", more=b',"x":{"content":"word"}'),
        payload(b"word", finish=b'"stop"'),
        payload(b"word", more=b',"usage":{"prompt_tokens":1}'),
        payload(b"word", more=b',"path":"a\\\\b"'),
        b'{"choices":[]}',
        b'{"choices":[{"index":0,"delta":{"role":"assistant"}}]}',
        b'{"choices":[{"index":0,"delta":{"content": "word"}}]}',
        b'{"choices":[{"index":0,"delta":{"content":"a","reasoning":"b"}}]}',
        b'{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"a"}}]}',
    ],
)
def test_where_the_text_cannot_be_told_for_sure_there_is_no_likeness(event: bytes) -> None:
    assert likeness(event) is None


@given(st.text(), st.text(), st.binary(max_size=12))
def test_what_it_says_of_an_event_is_what_its_json_says(first: str, second: str, noise: bytes) -> None:
    like = likeness(payload(msgspec.json.encode(first)[1:-1]))
    if like is None:
        return
    for text in (msgspec.json.encode(second)[1:-1], noise):
        event = payload(text)
        found = characters(like, sse.frame(event))
        if found is None:
            continue
        try:
            chunk = decode_chunk(event)
        except UpstreamError:
            pytest.fail(f"taken for an event: {event!r}")
        assert [len(choice.text) for choice in chunk.choices] == [found]
        assert chunk.source == event
