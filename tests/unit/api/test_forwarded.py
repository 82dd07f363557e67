"""Only what trusted proxies say is believed."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.api.forwarded import client_of, scheme_of

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("fd00::1", "198.51.100.1", "198.51.100.1"),
    ],
)
def test_the_client_is_the_nearest_that_is_no_proxy(peer: str, said: str, client: str) -> None:
    assert client_of(peer, said, TRUSTED) == client


@given(st.text(max_size=100))
def test_a_stranger_cannot_say_who_it_is(said: str) -> None:
    assert client_of("203.0.113.7", said, TRUSTED) == "203.0.113.7"
    assert scheme_of("203.0.113.7", "http", said, TRUSTED) == "http"


def test_a_trusted_proxy_says_whether_it_was_tls() -> None:
    assert scheme_of("10.0.0.1", "http", "https", TRUSTED) == "https"
    assert scheme_of("10.0.0.1", "http", "https, http", TRUSTED) == "http"
    assert scheme_of("10.0.0.1", "http", "gopher", TRUSTED) == "http"
