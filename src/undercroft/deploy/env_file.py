"""`.env`: the secrets of a stack on one host, made once and then left alone."""

import base64
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from undercroft.deploy.bundle import GeneratedSecret
from undercroft.errors import InvalidRequest
from undercroft.settings import dotenv
from undercroft.settings.files import FileProblem, read_text

RandomBytes = Callable[[int], bytes]


def text(secrets: Sequence[GeneratedSecret], *, random_bytes: RandomBytes) -> str:
    """The file with a value of its own for each."""
    lines = ["# Made once, with random values: keep it secret, keep it out of git, and keep a copy of it."]
    for secret in secrets:
        value = base64.urlsafe_b64encode(random_bytes(32)).decode()
        lines += [f"# {secret.meaning}", f"{secret.variable}={value if secret.kind == 'fernet' else value.rstrip('=')}"]
    return "".join(f"{line}\n" for line in lines)


def write_once(path: Path, secrets: Sequence[GeneratedSecret], *, random_bytes: RandomBytes) -> list[str]:
    """Makes the file (0600) where there is none; otherwise says which variables it lacks. Raises InvalidRequest."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        try:
            entries, _ = dotenv.parse(read_text(path))
        except FileProblem as problem:
            raise InvalidRequest(str(problem)) from None
        given = {entry.name for entry in entries if entry.value}
        return [secret.variable for secret in secrets if secret.variable not in given]
    except OSError as error:
        raise InvalidRequest(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text(secrets, random_bytes=random_bytes))
    return []
