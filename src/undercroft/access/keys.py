"""Virtual keys: `uc_` + 8 characters of public id + `_` + 256 random bits. The secret is stored as a keyed hash."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from undercroft.access.callers import Caller
from undercroft.access.roles import Rights, both, expanded, networks_of
from undercroft.errors import Unavailable
from undercroft.record import Who

PREFIX = "uc_"
SALT_BYTES = 16
DEEPEST = 8
"""So many keys may have made one another; what is deeper opens nothing."""
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
    routes: frozenset[str] | None = None
    """Path templates that it may ask for, as `Rights.routes`; None: all that its permissions open."""
    networks: tuple[str, ...] | None = None
    """Networks (CIDR) that it may be used from; None: anywhere."""
    maker: str = ""
    """Who made it, `key:ID` or `user:ID`: it may never do more than they may."""
    former_hash: bytes | None = None
    """Of the secret it had before it was rotated, which opens until `former_until_us`."""
    former_until_us: int = 0

    @property
    def rights(self) -> Rights:
        """Its own, whatever its maker's are."""
        return Rights(
            permissions=expanded(self.permissions),
            models=self.models,
            routes=self.routes,
            networks=None if self.networks is None else networks_of(self.networks),
            expires_us=self.expires_us,
        )


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
        self._callers: dict[str, Caller] = {}
        """Who each key makes of its bearer; a key whose maker has gone makes nobody."""
        self.known = False
        self.version = 0
        """Goes up with every change."""
        self.problem = "the database has not been read yet"

    def replace(
        self, keys: Iterable[StoredKey], *, accounts: Mapping[tuple[str, str], frozenset[str]] | None = None
    ) -> None:
        """`accounts`: what the living accounts may do, by organisation and name."""
        self._keys = {key.id: key for key in keys}
        makers = _Makers(self._keys, accounts or {})
        self._callers = {
            key.id: Caller(who=key.who, rights=rights, actor=f"key {key.id}", maker=f"key:{key.id}")
            for key in self._keys.values()
            if (rights := makers.rights_of(key)) is not None
        }
        self.known = True
        self.version += 1

    def any(self) -> bool:
        """Whether a virtual key exists, which closes the open door."""
        self._demand_known()
        return bool(self._keys)

    def find(self, text: str, *, now_us: int) -> Caller | None:
        """Whom the key with this text makes of its bearer: looked up by public id, compared in constant time."""
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
        caller = self._callers.get(stored.id)
        if caller is None or (caller.rights.expires_us is not None and caller.rights.expires_us <= now_us):
            return None
        return caller

    def may_call(self, key: str, model: str) -> bool:
        """Whether a key may call a public model name; one that is no longer there may not."""
        if not key:
            return True
        caller = self._callers.get(key)
        return caller is not None and (caller.rights.models is None or model in caller.rights.models)

    def is_lasting(self, key: str) -> bool:
        """Whether a key that opens now goes on to until the next change: without an end, and with one secret."""
        stored, caller = self._keys.get(key), self._callers.get(key)
        if stored is None or caller is None:
            return not key
        return caller.rights.expires_us is None and stored.former_hash is None

    def _demand_known(self) -> None:
        if not self.known:
            raise Unavailable(f"Keys cannot be checked: {self.problem}.", code="database_unavailable", retry_after_s=1)


def _opens(stored: bytes, secret: str) -> bool:
    return hmac.compare_digest(stored, hash_secret(secret, salt=stored[:SALT_BYTES]))


class _Makers:
    """What is left of each key's rights below those of its makers."""

    def __init__(self, keys: Mapping[str, StoredKey], accounts: Mapping[tuple[str, str], frozenset[str]]) -> None:
        self._keys = keys
        self._accounts = accounts

    def rights_of(self, key: StoredKey, *, below: int = 0) -> Rights | None:
        """None where a maker has gone: what it gave away goes with it."""
        kind, _, name = key.maker.partition(":")
        if not kind:
            return key.rights
        if kind == "user":
            permissions = self._accounts.get((key.who.organisation, name))
            return None if permissions is None else both(key.rights, Rights(permissions=permissions))
        maker = self._keys.get(name)
        if maker is None or below >= DEEPEST or maker.who.organisation != key.who.organisation:
            return None
        rights = self.rights_of(maker, below=below + 1)
        return None if rights is None else both(key.rights, rights)
