"""Secrets that the settings name as `secret:NAME`: encrypted in the database and in memory, opened on use."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from undercroft.errors import InvalidRequest, Unavailable, UnreadableSecret

LONGEST: Final = 8192
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Vault:
    """The stored secrets, as last read from the database; replaced whole when they change."""

    def __init__(self, open: Callable[[str], str]) -> None:
        self._open = open
        self._tokens: Mapping[str, str] = {}
        self._known = False
        self.unreadable: tuple[str, ...] = ()
        """Names of those that no key opens."""

    def replace(self, tokens: Mapping[str, str]) -> None:
        """Looks into each once, so that a lost key is known when it is lost and not when it is needed."""
        self._tokens, self._known = dict(tokens), True
        self.unreadable = tuple(name for name in sorted(tokens) if not self._opens(tokens[name]))

    def text(self, name: str) -> str:
        """A secret. Raises Unavailable where it is not there (yet), and UnreadableSecret."""
        if not self._known:
            raise Unavailable(
                f"The secret '{name}' cannot be read: the database is away.",
                code="database_unavailable",
                retry_after_s=1,
            )
        token = self._tokens.get(name)
        if token is None:
            raise Unavailable(
                f"There is no secret '{name}'.", code="secret_missing", hint=f"Type: undercroft secrets set {name}"
            )
        return self._open(token)

    def _opens(self, token: str) -> bool:
        try:
            self._open(token)
        except UnreadableSecret:
            return False
        return True


def checked(name: str, text: str) -> str:
    """A secret that can be stored and sent. Raises InvalidRequest."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest("A secret's name has letters, digits, dots, dashes and underscores.", param="name")
    if not text or len(text) > LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidRequest(
            f"A secret is 1 to {LONGEST} printable ASCII characters without spaces: it travels in a header.",
            param="value",
        )
    return text
