"""Where a connection leads."""

from typing import NamedTuple
from urllib.parse import urlsplit

from undercroft.errors import ConfigurationError

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Connections are shared among calls to the same origin, and a credential goes to no other."""

    scheme: str
    """`http`, `https` or `unix`."""
    host: str
    """A name or address, without brackets; for `unix` the socket's path."""
    port: int = 0

    def __str__(self) -> str:
        """As the `Host` field wants it."""
        if self.scheme == "unix":
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_base_url(url: str) -> tuple[Origin, str]:
    """`https://api.example.com/v1/` -> its origin and the path `/v1`; `unix:/run/x.sock` -> the socket and no path."""
    shown = url.partition("?")[0].rpartition("@")[2]  # without what may be a key
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError as error:  # UnicodeError, a port that is none, brackets that do not match
        raise ConfigurationError(f"{shown!r} is no address: {error}.") from error
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return Origin("unix", parts.path), ""
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise ConfigurationError(
            f"{shown!r} is no address undercroft can call.", hint="Write it as https://host[:port]/path."
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            f"The address of {host} holds more than host, port and path.",
            hint="A key belongs into api_key, not into the address; leave out `?` and `#`.",
        )
    return Origin(parts.scheme, host, _DEFAULT_PORTS[parts.scheme] if port is None else port), parts.path.rstrip("/")
