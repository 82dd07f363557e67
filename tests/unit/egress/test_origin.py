import pytest

from undercroft.egress.origin import Origin, parse_base_url
from undercroft.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "origin", "path", "host"),
    [
        ("https://api.openai.com/v1", Origin("https", "api.openai.com", 443), "/v1", "api.openai.com"),
        ("http://LOCALHOST:11434/v1/", Origin("http", "localhost", 11434), "/v1", "localhost:11434"),
        ("http://[::1]:8080", Origin("http", "::1", 8080), "", "[::1]:8080"),
        ("https://bücher.example/v1", Origin("https", "xn--bcher-kva.example", 443), "/v1", "xn--bcher-kva.example"),
        ("unix:/run/model.sock", Origin("unix", "/run/model.sock"), "", "localhost"),
    ],
)
def test_an_address_is_an_origin_and_a_path(url: str, origin: Origin, path: str, host: str) -> None:
    assert parse_base_url(url) == (origin, path)
    assert str(origin) == host


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com/v1",
        "ftp://host/v1",
        "https://",
        "http://host:port",
        "http://host:99999",
        "http://[::1",
        "http://" + "a" * 64 + ".example",
        "https://user:secret@host/v1",
        "https://host/v1?key=secret",
        "https://host/v1#part",
        "unix:relative.sock",
    ],
)
def test_an_address_that_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_base_url(url)


@pytest.mark.parametrize("url", ["https://u:secret@host/v1", "https://host/v1?key=secret", "u:secret@host"])
def test_a_key_in_an_address_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_base_url(url)
    assert "secret" not in str(caught.value)
