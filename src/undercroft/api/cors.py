"""Pages of other origins: none may call this server from a browser but those that the operator names."""

from collections.abc import Collection
from typing import Final

from undercroft.api.exchange import Exchange

_METHODS: Final = b"GET, POST, PUT, PATCH, DELETE"
_EXPOSED: Final = b"x-request-id, request-id, retry-after"
_AGE_S: Final = b"600"


def admit_origin(exchange: Exchange, origins: Collection[str]) -> bool:
    """Lets a named origin's page read the answer; True where the request was only its browser's question about that.

    Cookies are never let through: such a page comes with a key.
    """
    origin = exchange.header(b"origin")
    if origin not in origins:
        return False
    exchange.extra_headers = (
        *exchange.extra_headers,
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"origin"),
    )
    if exchange.method != "OPTIONS" or not exchange.header(b"access-control-request-method"):
        return False
    wanted = exchange.header(b"access-control-request-headers")
    exchange.extra_headers = (
        *exchange.extra_headers,
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", wanted.encode("latin-1") or b"authorization, content-type"),
        (b"access-control-max-age", _AGE_S),
    )
    return True
