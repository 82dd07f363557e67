"""Which release answers whom: a fixed place for each user or conversation, so that nobody goes back and forth."""

import hashlib

import msgspec

from undercroft.releases.types import Sticky
from undercroft.versions.pinned import Pinned


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """An alias at one moment. A call that has begun keeps what it was given."""

    stable: Pinned
    candidate: Pinned | None = None
    share: float = 0.0
    mirror: float = 0.0
    sticky: Sticky = "user"
    salt: bytes = b""
    """Another rollout draws its users anew."""

    def answering(self, key: bytes) -> Pinned:
        """As the share grows, users only ever move from the stable release to the candidate."""
        if self.candidate is not None and place(self.salt, key) < self.share:
            return self.candidate
        return self.stable

    def mirrored(self, call: bytes) -> Pinned | None:
        """The candidate, where this call is to be sent to it as well."""
        if self.candidate is not None and place(self.salt, call) < self.mirror:
            return self.candidate
        return None


def place(salt: bytes, key: bytes) -> float:
    """In [0, 1), evenly spread and always the same."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8, key=salt[:64]).digest()) / 2**64
