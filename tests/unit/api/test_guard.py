"""What a request's head must look like: the hostile corpus is refused, ordinary requests are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.hostile import HOSTILE_HEADS
from undercroft.api.guard import MAX_FIELDS, Refusal, examine


@pytest.mark.parametrize("name", HOSTILE_HEADS)
def test_a_hostile_head_is_refused(name: str) -> None:
    verdict = examine(HOSTILE_HEADS[name])
    assert isinstance(verdict, Refusal)
    assert verdict.status in (400, 431)


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 0),
        (b"GET /v1/models?x=%C3%A9&y=(1) HTTP/1.1\r\nhOST:\t[::1]:8000 \r\n\r\n", 0),
        (b"GET / HTTP/1.0\r\n\r\n", 0),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n", 12),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-Name: caf\xc3\xa9\r\nX-Empty:\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * (MAX_FIELDS - 1) + b"\r\n", 0),
    ],
)
def test_an_ordinary_head_passes(head: bytes, length: int | None) -> None:
    request = examine(head)
    assert not isinstance(request, Refusal)
    assert (None if request.is_chunked else request.length) == length


def test_a_head_is_taken_apart() -> None:
    request = examine(b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-One: \t two \r\nX-One:\r\nConnection: close\r\n\r\n")
    assert not isinstance(request, Refusal)
    assert (request.method, request.target, request.version, request.keep_alive) == ("POST", b"/a?b=c", "1.1", False)
    assert request.headers == [(b"host", b"x"), (b"x-one", b"two"), (b"x-one", b""), (b"connection", b"close")]


@pytest.mark.parametrize(("connection", "lives_on"), [(b"", False), (b"Connection: Keep-Alive\r\n", True)])
def test_an_http_1_0_connection_lives_on_only_when_asked_to(connection: bytes, lives_on: bool) -> None:
    request = examine(b"GET / HTTP/1.0\r\n" + connection + b"\r\n")
    assert not isinstance(request, Refusal)
    assert request.keep_alive is lives_on


def test_one_header_more_than_allowed_is_431() -> None:
    verdict = examine(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * MAX_FIELDS + b"\r\n")
    assert isinstance(verdict, Refusal)
    assert verdict.status == 431


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(noise: bytes) -> None:
    examine(noise)
    examine(b"GET / HTTP/1.1\r\nHost: a\r\n" + noise + b"\r\n\r\n")


@given(st.binary(max_size=40))
def test_a_header_that_passes_holds_no_line_break(value: bytes) -> None:
    verdict = examine(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + value + b"\r\n\r\n")
    if b"\n" in value or b"\r" in value or b"\0" in value:
        # Only a whole, well-formed further field may pass; then it is a field of its own for every parser.
        assert isinstance(verdict, Refusal) or all(b":" in line for line in value.split(b"\r\n")[1:])
