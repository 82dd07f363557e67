"""Secrets that are kept elsewhere: what an external store must do, and who does it."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, Protocol

from undercroft.settings.files import FileProblem
from undercroft.settings.model import Settings


class SecretStore(Protocol):
    """Reads secrets while the settings are read: at the start and at each reload. It writes nothing."""

    def read(self, reference: str, /) -> str:
        """The secret behind what stands after the colon. Raises FileProblem, with a reason that shows no secret."""
        ...


OpenStored = Callable[[Settings], SecretStore]
"""Opens our own encrypted store, whose place and key these settings say. Raises ConfigurationError and Unavailable."""

STORES: Final[Mapping[str, str]] = {"vault": "undercroft.settings.secret_stores.vault"}
"""The module for each kind of reference; it has `opened(environment) -> SecretStore`, which raises FileProblem."""


class Stores:
    """Opens a store for the first reference to it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._opened: dict[str, SecretStore] = {}

    def read(self, kind: str, reference: str) -> str:
        """Raises FileProblem."""
        store = self._opened.get(kind)
        if store is None:
            store = self._opened[kind] = import_module(STORES[kind]).opened(self._environment)
        secret = store.read(reference)
        if not secret:
            raise FileProblem(f"{kind}:{reference} is empty")
        return secret
