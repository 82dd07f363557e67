"""The encryption keys in a backup, under a passphrase: whoever has the file alone cannot open what is stored encrypted.

The passphrase becomes a key by scrypt (RFC 7914), which makes each guess expensive; that key encrypts as Fernet does.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from typing import Final

import msgspec

from undercroft.access.secrets import SecretBox
from undercroft.errors import InvalidRequest, UnreadableSecret

N: Final = 2**15
R: Final = 8
P: Final = 1
MEMORY_BYTES: Final = 64 * 1024 * 1024
SALT_BYTES: Final = 16
SHORTEST: Final = 12


class SealedKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Encryption keys as they are in a backup."""

    salt: str
    n: int = N
    r: int = R
    p: int = P
    token: str


def seal(keys: Sequence[str], passphrase: str) -> SealedKeys:
    """Raises InvalidRequest for a passphrase that is too short."""
    if len(passphrase) < SHORTEST:
        raise InvalidRequest(f"The passphrase is too short: it needs {SHORTEST} characters or more.")
    salt = os.urandom(SALT_BYTES).hex()
    return SealedKeys(salt=salt, token=_box(passphrase, salt, N, R, P).seal(",".join(keys)))


def unseal(sealed: SealedKeys, passphrase: str) -> tuple[str, ...]:
    """Raises InvalidRequest for another passphrase."""
    if sealed.n > N * 8 or sealed.r > R or sealed.p > P:
        raise InvalidRequest("The keys in the backup want more work than any that undercroft made.")
    try:
        return tuple(_box(passphrase, sealed.salt, sealed.n, sealed.r, sealed.p).open(sealed.token).split(","))
    except UnreadableSecret:
        raise InvalidRequest("The passphrase is not the one that the backup was made with.") from None


def _box(passphrase: str, salt: str, n: int, r: int, p: int) -> SecretBox:
    key = hashlib.scrypt(
        passphrase.encode(), salt=bytes.fromhex(salt), n=n, r=r, p=p, maxmem=MEMORY_BYTES * 8, dklen=32
    )
    return SecretBox([base64.urlsafe_b64encode(key).decode()], source="the passphrase")
