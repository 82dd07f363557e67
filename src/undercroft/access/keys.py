"""Virtual keys: `uc_` + 8 characters of public id + `_` + 256 random bits. The secret is stored as a keyed hash."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from undercroft.errors import Unavailable
from undercroft.record import Who

PREFIX = "uc_"
SALT_BYTES = 16
_NO_SALT = bytes(SALT_BYTES)
_FORM = re.compile(r"uc_([a-z2-7]{8})_([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A row of `api_keys`, as the doors need it."""

    id: str
    hash: bytes
    who: Who
    permissions: frozenset[str]
    expires_us: int | None = None
    models: frozenset[str] | None = None
    """Public names that it may call; None: all."""
    former_hash: bytes | None = None
    """Of the secret it had before it was rotated, which opens until `former_until_us`."""
    former_until_us: int = 0


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the moment of its making: `text` is shown once and never stored."""

    id: str
    text: str
    hash: bytes


def make_key(entropy: Callable[[int], bytes]) -> NewKey:
    """A fresh key from `entropy(n)` random bytes."""
    return new_secret(base64.b32encode(entropy(5)).decode().lower(), entropy)


def new_secret(public: str, entropy: Callable[[int], bytes]) -> NewKey:
    """Another secret for the key with this public id."""
    secret = base64.urlsafe_b64encode(entropy(32)).rstrip(b"=").decode()
    return NewKey(id=public, text=f"{PREFIX}{public}_{secret}", hash=hash_secret(secret, salt=entropy(SALT_BYTES)))


def hash_secret(secret: str, *, salt: bytes) -> bytes:
    """The salt, then HMAC-SHA256 under it: 256 random bits cannot be guessed, so no slow hash is needed."""
    return salt + hmac.digest(salt, secret.encode(), hashlib.sha256)


class KeyRing:
    """The living keys of this installation, as last read from the database; replaced whole when they change.

    Until the first reading arrives nobody can say whether keys exist: `known` is False and look-ups raise Unavailable.
    """

    def __init__(self) -> None:
        self._keys: dict[str, StoredKey] = {}
        self.known = False
        self.problem = "the database has not been read yet"

    def replace(self, keys: Iterable[StoredKey]) -> None:
        self._keys = {key.id: key for key in keys}
        self.known = True

    def any(self) -> bool:
        """Whether a virtual key exists, which closes the open door."""
        self._demand_known()
        return bool(self._keys)

    def find(self, text: str, *, now_us: int) -> StoredKey | None:
        """The key whose text this is: looked up by public id, compared in constant time."""
        self._demand_known()
        form = _FORM.fullmatch(text)
        stored = self._keys.get(form[1]) if form else None
        # An unknown id pays for a hash too, so that time does not tell which ids exist.
        is_right = _opens(stored.hash if stored else _NO_SALT, form[2] if form else text)
        if stored is None:
            return None
        if not is_right and (stored.former_hash is None or now_us >= stored.former_until_us):
            return None
        if not is_right and not _opens(stored.former_hash or _NO_SALT, form[2] if form else text):
            return None
        if stored.expires_us is not None and stored.expires_us <= now_us:
            return None
        return stored

    def may_call(self, key: str, model: str) -> bool:
        """Whether a key may call a public model name; one that is no longer there may not."""
        if not key:
            return True
        stored = self._keys.get(key)
        return stored is not None and (stored.models is None or model in stored.models)

    def _demand_known(self) -> None:
        if not self.known:
            raise Unavailable(f"Keys cannot be checked: {self.problem}.", code="database_unavailable", retry_after_s=1)


def _opens(stored: bytes, secret: str) -> bool:
    return hmac.compare_digest(stored, hash_secret(secret, salt=stored[:SALT_BYTES]))
