"""What ENCRYPTION_KEY may hold: Fernet keys, separated by commas."""

import base64
import binascii
from typing import Final

ENCRYPTION_KEY_LINE: Final = (
    "export ENCRYPTION_KEY=$(python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())')"
)
KEY_BYTES: Final = 32


def encryption_keys(text: str) -> tuple[str, ...]:
    """The keys in it, without the space around them. Raises ValueError, which does not show them."""
    keys = tuple(part.strip() for part in text.split(","))
    for place, key in enumerate(keys, start=1):
        if not _is_key(key):
            which = f"key {place} of {len(keys)}" if len(keys) > 1 else "it"
            raise ValueError(f"takes Fernet keys (32 bytes in URL-safe base64), and {which} is none")
    return keys


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, altchars=b"-_", validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False
