"""Sending the same user, or the same conversation, to the same deployment: providers keep prompts in caches."""

import hashlib
import math
from collections.abc import Sequence
from typing import Final, Literal

from undercroft.llm.types import ChatRequest, CompletionRequest, Request
from undercroft.record import Who

Sticky = Literal["none", "user", "conversation"]

_PREFIX_CHARACTERS: Final = 4096
"""Of each message: enough to tell conversations apart."""


def key_of(sticky: Sticky, request: Request, who: Who) -> bytes | None:
    """What has to stay together; None: nothing to go by, and the strategy decides."""
    match sticky:
        case "user":
            return _user(request, who)
        case "conversation":
            return _conversation(request)
        case "none":
            return None


def _user(request: Request, who: Who) -> bytes | None:
    """The request's own user, else the key that it came with, within the organisation."""
    name = request.end_user or who.key
    return _digest(who.organisation, name) if name else None


def _conversation(request: Request) -> bytes | None:
    """How it began: everything up to the first thing that was asked. Later turns begin the same."""
    if isinstance(request, CompletionRequest):
        first = request.prompts[0] if request.prompts else ""
        return _digest(first if isinstance(first, str) else repr(first[:_PREFIX_CHARACTERS]))
    if not isinstance(request, ChatRequest):
        return None
    begun: list[str] = []
    for message in request.messages:
        begun += (message.role, message.text())
        if message.role == "user":
            break
    return _digest(*begun)


def _digest(*texts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(text[:_PREFIX_CHARACTERS].encode("utf-8", "surrogatepass") + b"\0")
    return digest.digest()


def distances(key: bytes, ids: Sequence[bytes], weights: Sequence[int]) -> tuple[float, ...]:
    """How far a key is from each deployment; it goes to the nearest that can take it.

    Rendezvous hashing: a deployment that is lost moves only its own keys, and each gets its weight's share.
    """
    return tuple(
        -math.log(_share(hashlib.blake2b(each, digest_size=8, key=key).digest())) / weight
        for each, weight in zip(ids, weights, strict=True)
    )


def _share(digest: bytes) -> float:
    """In (0, 1]."""
    return (int.from_bytes(digest) + 1) / 2**64
