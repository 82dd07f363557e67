"""Where the keys are that stored secrets are encrypted under."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from undercroft.errors import ConfigurationError, Conflict, UnreadableSecret
from undercroft.settings.encryption import ENCRYPTION_KEY_LINE, encryption_keys
from undercroft.settings.model import Settings
from undercroft.telemetry.logs import get_logger

if TYPE_CHECKING:
    from undercroft.access.secrets import SecretBox

KEY_FILE: Final = "encryption.key"


class StoredSecrets:
    """Encrypts under ENCRYPTION_KEY or, embedded, under a key file beside the database, made for the first secret.

    With PostgreSQL no key is made up: what is stored there outlives this machine. A key file is looked at again when
    it has changed, so that running servers follow a rotation.
    """

    def __init__(self, settings: Settings) -> None:
        key = settings.encryption_key
        self._keys = () if key is None else encryption_keys(key.get_secret_value())
        self.file = None if self._keys or settings.database.is_postgresql else _key_file(settings)
        """Where the keys stand, if not in ENCRYPTION_KEY."""
        self._box: SecretBox | None = None
        self._stamp: tuple[int, int] | None = None
        self._known: tuple[str, ...] = ()
        """The keys that the file had when it was last looked at."""

    def keys(self) -> tuple[str, ...]:
        """The keys in force, the one that encrypts first; none where none was made. Raises ConfigurationError."""
        if self.file is None:
            return self._keys
        return _keys_in(self.file) if self.file.exists() else ()

    def seal(self, text: str) -> str:
        """A token for `text`. Raises Conflict where there is no key."""
        if not self._keys and self.file is None:
            raise Conflict(
                "Secrets cannot be stored: ENCRYPTION_KEY is not set.",
                code="encryption_key_missing",
                hint=f"Type {ENCRYPTION_KEY_LINE}, keep the key, and start the server with it.",
            )
        return self._opened().seal(text)

    def open(self, token: str) -> str:
        """What is in a token. Raises UnreadableSecret; a lost key is never replaced."""
        return self._existing().open(token)

    def is_current(self, token: str) -> bool:
        """Whether the key that now encrypts opens it. Raises UnreadableSecret where there is none."""
        return self._existing().is_current(token)

    def add_key(self) -> None:
        """Embedded: another key, which encrypts from now on; those before go on decrypting. Raises Conflict."""
        from undercroft.access.secrets import fresh_key, put_keys

        file = self._own_file()
        self._opened()
        put_keys(file, [fresh_key(), *_keys_in(file)])

    def forget_former_keys(self) -> int:
        """Embedded: only the key that encrypts stays; how many went. Nothing may be under them any more."""
        from undercroft.access.secrets import put_keys

        file = self._own_file()
        first, *former = _keys_in(file)
        if former:
            put_keys(file, [first])
        return len(former)

    def _own_file(self) -> Path:
        if self.file is None:
            raise Conflict(
                "The keys are in ENCRYPTION_KEY, where only you can change them.",
                hint="Put the new key before the old one, with a comma, restart, and rotate; then remove the old one.",
            )
        return self.file

    def _existing(self) -> "SecretBox":
        if not self._keys and (self.file is None or not self.file.exists()):
            lost = "ENCRYPTION_KEY is not set" if self.file is None else f"the key file {self.file} is gone"
            raise UnreadableSecret(f"A stored secret cannot be read: {lost}.", hint="Bring the key back.")
        return self._opened()

    def _opened(self) -> "SecretBox":
        from undercroft.access.secrets import SecretBox, key_in_file

        if self.file is None:
            self._box = self._box or SecretBox(self._keys)
            return self._box
        stamp = _stamp_of(self.file)
        if self._box is None or stamp is None or stamp != self._stamp:
            key_in_file(self.file, made=_tell_made)
            self._stamp = _stamp_of(self.file)
            keys = _keys_in(self.file)
            # Those that went with this change go on opening until the next: tokens may have been read before it.
            former = [key for key in self._known if key not in keys]
            self._known = keys
            self._box = SecretBox([*keys, *former], source=str(self.file))
        return self._box


def _keys_in(file: Path) -> tuple[str, ...]:
    from undercroft.access.secrets import key_in_file

    try:
        return encryption_keys(key_in_file(file))
    except ValueError as problem:
        raise ConfigurationError(f"The key file {file} {problem}.", hint="Bring the key back.") from None


def _stamp_of(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


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
