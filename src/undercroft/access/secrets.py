"""Secrets that have to come back: encrypted where they are stored, decrypted when they are used.

Tokens are plain Fernet (https://github.com/fernet/spec): AES-128-CBC and HMAC-SHA256 under a key of 256 bits. Of
several keys the first encrypts and all decrypt, so that keys can be changed without a gap.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from undercroft.errors import ConfigurationError, UnreadableSecret
from undercroft.settings.encryption import ENCRYPTION_KEY_LINE, encryption_keys
from undercroft.settings.files import FileProblem, read_secret

VARIABLE: Final = "ENCRYPTION_KEY"


def encrypt_api_key(api_key: str) -> str:
    """A Fernet token of `api_key` under the first key of ENCRYPTION_KEY.

    The variable (or the file that ENCRYPTION_KEY_FILE names) is read on each call. Raises ConfigurationError, which
    names it, when it is missing or malformed.

    >>> import os
    >>> os.environ["ENCRYPTION_KEY"] = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    >>> decrypt_api_key(encrypt_api_key("sk-test"))
    'sk-test'
    """
    return _from_environment().seal(api_key)


def decrypt_api_key(token: str) -> str:
    """What `encrypt_api_key` was given, under any key of ENCRYPTION_KEY.

    Raises ConfigurationError as `encrypt_api_key` does, and UnreadableSecret for a token that no key opens.
    """
    return _from_environment().open(token)


class SecretBox:
    """Encrypts and decrypts under the keys of one installation."""

    def __init__(self, keys: Sequence[str], *, source: str = VARIABLE) -> None:
        """`source` is where they stand, for errors. Raises ConfigurationError for keys that are none."""
        try:
            fernets = [Fernet(key) for key in keys]
            self._fernet, self._first = MultiFernet(fernets), fernets[0]
        except ValueError:
            raise ConfigurationError(
                f"{source} holds no Fernet key.", hint=f"Make one: {ENCRYPTION_KEY_LINE}"
            ) from None
        self._source = source

    def seal(self, text: str) -> str:
        """A token, as text."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, token: str) -> str:
        """What is in a token. Raises UnreadableSecret."""
        try:
            return self._fernet.decrypt(token.encode(errors="replace")).decode()
        except InvalidToken:
            raise UnreadableSecret(
                f"A stored secret cannot be read with the keys of {self._source}: it was encrypted under another key, "
                "or is damaged.",
                hint=f"Add the former key to {self._source}, behind a comma.",
            ) from None

    def is_current(self, token: str) -> bool:
        """Whether the first key opens it."""
        try:
            self._first.decrypt(token.encode(errors="replace"))
        except InvalidToken:
            return False
        return True


def key_in_file(path: Path, *, made: Callable[[Path], None] = lambda _: None) -> str:
    """The keys in a file of our own (0600), one made where there is none; `made` hears of that.

    Several processes may ask at once and get the same one. Raises ConfigurationError.
    """
    if not path.exists():
        try:
            if _make(path):
                made(path)
        except OSError as error:
            raise ConfigurationError(f"The key file {path} cannot be made: {error.strerror}.") from error
    try:
        return read_secret(path)
    except FileProblem as problem:
        raise ConfigurationError(f"The key file cannot be used: {problem}.") from problem


def _make(path: Path) -> bool:
    """False when another process was faster: its key counts."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # 0600
    try:
        try:
            os.write(descriptor, Fernet.generate_key() + b"\n")
            os.fsync(descriptor)  # what is encrypted under it must not outlive it
        finally:
            os.close(descriptor)
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        Path(draft).unlink()
    return True


def put_keys(path: Path, keys: Sequence[str]) -> None:
    """Writes the keys of a key file, all of them or none. Raises ConfigurationError."""
    try:
        descriptor, draft = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(",".join(keys) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(path)
        except OSError:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(f"The key file {path} cannot be written: {error.strerror}.") from error


def fresh_key() -> str:
    """A new Fernet key."""
    return Fernet.generate_key().decode()


def _from_environment() -> SecretBox:
    text = os.environ.get(VARIABLE, "")
    if not text and (named := os.environ.get(f"{VARIABLE}_FILE")):
        try:
            text = read_secret(Path(named).expanduser())
        except FileProblem as problem:
            raise ConfigurationError(f"{VARIABLE}_FILE: {problem}.") from problem
    if not text:
        raise ConfigurationError(f"{VARIABLE} is not set.", hint=f"Make a key: {ENCRYPTION_KEY_LINE}")
    try:
        keys = encryption_keys(text)
    except ValueError as problem:
        raise ConfigurationError(f"{VARIABLE} {problem}.", hint=f"Make a key: {ENCRYPTION_KEY_LINE}") from None
    return SecretBox(keys)
