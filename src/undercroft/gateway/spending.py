"""Adding up what an answer of several parts has used."""

from collections.abc import Iterable
from typing import Final

from undercroft.record import Usage

_FIELDS: Final = Usage.__struct_fields__


def added(usages: Iterable[Usage]) -> Usage:
    """Class by class."""
    given = list(usages)
    return Usage(**{name: sum(getattr(usage, name) for usage in given) for name in _FIELDS})


def without(total: Usage, parts: Iterable[Usage]) -> Usage:
    """What is left of a total; never below zero, whatever a provider counts."""
    spent = added(parts)
    return Usage(**{name: max(getattr(total, name) - getattr(spent, name), 0) for name in _FIELDS})
