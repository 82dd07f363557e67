"""Which texts of the settings must never be shown."""

import re
from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel, SecretStr

from undercroft.settings.model import Deployment, Settings

STORED: Final = "secret:"
_SECRET_HEADER: Final = re.compile(r"auth|key|token|secret|cookie|passw|credential|signature", re.IGNORECASE)
_SHORTEST_TOKEN: Final = 16


def secrets_of(settings: Settings) -> list[str]:
    """Every secret value, to be replaced wherever it turns up. Names of stored secrets are none."""
    return [secret for secret in _secrets(settings) if stored_name(secret) is None]


def stored_names(settings: Settings) -> set[str]:
    """The names of all secrets of the encrypted store that are referred to and were not read."""
    return {name for secret in _secrets(settings) if (name := stored_name(secret)) is not None}


def stored_name(secret: str) -> str | None:
    """`secret:NAME` -> `NAME`: it is in the encrypted store; None for any other."""
    return secret.removeprefix(STORED).strip() if secret.startswith(STORED) else None


def known_text(secret: SecretStr | None) -> str | None:
    """A secret to look at; None where there is none, or it is in the encrypted store and was not read."""
    text = None if secret is None else secret.get_secret_value()
    return None if text is None or stored_name(text) is not None else text


def is_secret_header(name: str, value: str) -> bool:
    """Whether a header of the operator's choice is to be hidden: `x-title` holds a name that logs are full of."""
    looks_random = len(value) >= _SHORTEST_TOKEN and " " not in value and "://" not in value
    return looks_random or _SECRET_HEADER.search(name) is not None or stored_name(value) is not None


def _secrets(value: object) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case Deployment():
            yield from _secrets(value.api_key)
            for name, header in value.headers.items():
                if is_secret_header(name, text := header.get_secret_value()):
                    yield text
        case BaseModel():
            for name in type(value).model_fields:
                yield from _secrets(getattr(value, name))
        case tuple():
            for inner in value:
                yield from _secrets(inner)
        case dict():
            for inner in value.values():
                yield from _secrets(inner)
