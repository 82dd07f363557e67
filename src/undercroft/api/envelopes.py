"""The format in which a request is told of its error."""

from collections.abc import Callable
from typing import Final

from undercroft.api.exchange import Exchange
from undercroft.wire import errors

Envelope = Callable[..., tuple[int, list[tuple[bytes, bytes]], bytes]]
"""`envelope(error, request_id=…)`: status, headers and body."""

ANTHROPIC: Final = "/v1/messages"
SHARED: Final = "/v1/models"
"""Two formats have this path; `anthropic-version` tells their clients apart."""


def envelope_of(exchange: Exchange) -> Envelope:
    """By the path, not the route: many requests fail before theirs is found, or have none."""
    path = exchange.path
    if path == ANTHROPIC or path.startswith(f"{ANTHROPIC}/"):
        return _anthropic()
    if (path == SHARED or path.startswith(f"{SHARED}/")) and exchange.header(b"anthropic-version"):
        return _anthropic()
    return errors.envelope


def _anthropic() -> Envelope:
    # With the whole of that format, which no start is to pay for.
    from undercroft.wire.anthropic.errors import envelope

    return envelope
