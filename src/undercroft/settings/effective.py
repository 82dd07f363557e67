"""Every setting as it is in force, with its source and without its secrets: for `config show` and bug reports."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from pydantic import SecretStr

from undercroft.settings.draft import DEFAULT, dotted, leaves
from undercroft.settings.explain import MASK, masked_url
from undercroft.settings.locate import Place
from undercroft.settings.sources import Loaded

_SECRET_ADDRESSES: Final = ("url", "broker_url")
"""Secrets only for the password in them; the rest of the address is worth seeing."""


class Effective(msgspec.Struct, frozen=True):
    """One setting; `value` can be written as JSON."""

    setting: str
    value: str | int | float | bool | list[str] | None
    source: str


def effective(loaded: Loaded) -> Iterator[Effective]:
    """In the order of the reference."""
    for place, value in leaves(loaded.settings.model_dump()):
        if value != {}:
            name = dotted(place)
            yield Effective(name, _showable(place, value), str(loaded.provenance.get(name, DEFAULT)))


def _showable(place: Place, value: object) -> str | int | float | bool | list[str] | None:
    match value:
        case SecretStr():
            return masked_url(value.get_secret_value()) if place[-1] in _SECRET_ADDRESSES else MASK
        case str():
            return masked_url(value) if "://" in value else value
        case Path():
            return str(value)
        case int() | float() | None:
            return value
        case _:
            assert value == (), "every other value holds values"
            return []
