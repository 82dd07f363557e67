"""Which texts of the settings must never be shown."""

from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel, SecretStr

from undercroft.settings.model import Settings

STORED: Final = "secret:"


def secrets_of(settings: Settings) -> list[str]:
    """Every secret value, to be replaced wherever it turns up. Names of stored secrets are none."""
    return [secret for secret in _secrets(settings) if stored_name(secret) is None]


def stored_name(secret: str) -> str | None:
    """`secret:NAME` -> `NAME`: it is in the encrypted store and is opened when it is used; None for any other."""
    return secret.removeprefix(STORED) if secret.startswith(STORED) else None


def _secrets(value: object) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            for name in type(value).model_fields:
                yield from _secrets(getattr(value, name))
        case tuple():
            for inner in value:
                yield from _secrets(inner)
        case dict():
            for inner in value.values():
                yield from _secrets(inner)
