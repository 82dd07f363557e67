"""Where the keys are that stored secrets are encrypted under."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from undercroft.errors import Conflict, UnreadableSecret
from undercroft.settings.encryption import ENCRYPTION_KEY_LINE, encryption_keys
from undercroft.settings.model import Settings
from undercroft.telemetry.logs import get_logger

if TYPE_CHECKING:
    from undercroft.access.secrets import SecretBox

KEY_FILE: Final = "encryption.key"


class StoredSecrets:
    """Encrypts under ENCRYPTION_KEY or, embedded, under a key file beside the database, made for the first secret.

    With PostgreSQL no key is made up: what is stored there outlives this machine.
    """

    def __init__(self, settings: Settings) -> None:
        key = settings.encryption_key
        self._keys = () if key is None else encryption_keys(key.get_secret_value())
        self._file = None if self._keys or settings.database.is_postgresql else _key_file(settings)
        self._box: SecretBox | None = None

    def seal(self, text: str) -> str:
        """A token for `text`. Raises Conflict where there is no key."""
        if not self._keys and self._file is None:
            raise Conflict(
                "Secrets cannot be stored: ENCRYPTION_KEY is not set.",
                code="encryption_key_missing",
                hint=f"Type {ENCRYPTION_KEY_LINE}, keep the key, and start the server with it.",
            )
        return self._opened().seal(text)

    def open(self, token: str) -> str:
        """What is in a token. Raises UnreadableSecret; a lost key is never replaced."""
        if not self._keys and (self._file is None or not self._file.exists()):
            lost = "ENCRYPTION_KEY is not set" if self._file is None else f"the key file {self._file} is gone"
            raise UnreadableSecret(f"A stored secret cannot be read: {lost}.", hint="Bring the key back.")
        return self._opened().open(token)

    def _opened(self) -> "SecretBox":
        from undercroft.access.secrets import SecretBox, key_in_file

        if self._box is None:
            if self._file is None:
                self._box = SecretBox(self._keys)
            else:
                self._box = SecretBox([key_in_file(self._file, made=_tell_made)], source=str(self._file))
        return self._box


def _key_file(settings: Settings) -> Path:
    """Beside the database."""
    url = settings.database.url
    if url is None:
        return settings.data_dir / KEY_FILE
    return Path(url.get_secret_value().partition(":///")[2]).with_name(KEY_FILE)


def _tell_made(path: Path) -> None:
    get_logger("undercroft.secrets").warning(
        "encryption_key_made", file=str(path), hint="Keep a copy: what is stored encrypted cannot be read without it."
    )
