"""Which texts of the settings must never be shown."""

from collections.abc import Iterator

from pydantic import BaseModel, SecretStr

from undercroft.settings.model import Settings


def secrets_of(settings: Settings) -> list[str]:
    """Every secret value, to be replaced wherever it turns up."""
    return list(_secrets(settings))


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
