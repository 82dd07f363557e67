"""Passwords as Argon2id hashes (RFC 9106), with the parameters that OWASP recommends for 19 MiB of memory."""

import os
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from undercroft.errors import InvalidRequest

SHORTEST: Final = 12
LONGEST: Final = 200
MEMORY_KIB: Final = 19_456
ROUNDS: Final = 2
_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32

NOBODYS: Final = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBub2lzZSBoZXJlIQ$Qg4EW8/sRiU2XJ1pOa3DA0W0lnIkO9S8nLEyWxVUsCI"
"""What an unknown name is compared with, so that time does not tell which names exist."""


def hash_password(password: str, *, entropy: Callable[[int], bytes] = os.urandom) -> str:
    """In PHC form. Takes about 30 ms and 19 MiB. Raises InvalidRequest for a password that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidRequest(f"A password has {SHORTEST} to {LONGEST} characters.", param="password")
    kdf = Argon2id(salt=entropy(_SALT_BYTES), length=_HASH_BYTES, iterations=ROUNDS, lanes=1, memory_cost=MEMORY_KIB)
    return kdf.derive_phc_encoded(password.encode())


def is_password(password: str, stored: str) -> bool:
    """Whether it is the password behind a stored hash."""
    if len(password) > LONGEST:
        return False
    try:
        Argon2id.verify_phc_encoded(password.encode(), stored)
    except InvalidKey:
        return False
    return True
