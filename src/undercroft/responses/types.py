"""Responses that callers may come back to."""

import msgspec

from undercroft.record import Who
from undercroft.wire.openai.responses import Ended


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A response as it is stored."""

    who: Who
    ended: Ended
    """How it came out or, while it is being answered, how it stands."""
    input: bytes
    """The request's own input items, as a JSON array."""
    previous: str | None
    """The response it continues."""
    is_background: bool
    is_relayed: bool
    """Its answer came from a provider of the same format, under that provider's id."""
    created_us: int
    expires_us: int
    call: str = ""
    """The ledger's id of the call that it came of."""
    is_lapsed: bool = False
    """Nobody has said for too long that it is still being answered. Read, never written."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A response to be made in the background: all that is needed, so that it may run anywhere."""

    id: str
    call_id: str
    who: Who
    trace: str
    source: bytes
    """The request's body with the earlier conversation in it."""
    queued: bytes
    """The response object as its caller was told."""
    created_us: int


class Told(msgspec.Struct, frozen=True):
    """What an answer in the making has to say next: events and, at last, how it came out."""

    events: bytes
    ended: Ended | None = None
    is_relayed: bool = False
