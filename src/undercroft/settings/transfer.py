"""Settings on their way from one process of a server to another: everything, secrets in clear text.

Only for what nobody else can read, a socket in a folder of our own.
"""

from pathlib import Path

import msgspec
from pydantic import SecretStr

from undercroft.settings.model import Settings


def pack(settings: Settings) -> bytes:
    """As bytes that `unpack` understands."""
    return msgspec.json.encode(settings.model_dump(), enc_hook=_plain)


def unpack(packed: bytes) -> Settings:
    """The settings that were packed."""
    return Settings.model_validate_json(packed, strict=True)


def _plain(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case Path():
            return str(value)
        case _:
            raise TypeError(f"Settings hold a {type(value).__name__}, which cannot be passed on.")
