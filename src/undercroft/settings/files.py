"""Reading the files that settings come from, with a reason in one line where that fails."""

from pathlib import Path
from typing import Final

LARGEST_FILE_BYTES: Final = 1_000_000
LARGEST_SECRET_BYTES: Final = 65_536


class FileProblem(Exception):
    """A file cannot be used; the text says which and why."""


def read_text(path: Path, *, largest_bytes: int = LARGEST_FILE_BYTES) -> str:
    """The whole file as text. Raises FileProblem."""
    try:
        if not path.is_file():  # a pipe or device would be read for ever
            reason = "it is not a file" if path.exists() else "there is no such file"
            raise FileProblem(f"cannot read {path}: {reason}")
        with path.open("rb") as file:
            data = file.read(largest_bytes + 1)
    except OSError as error:
        raise FileProblem(f"cannot read {path}: {error.strerror}") from error
    if len(data) > largest_bytes:
        raise FileProblem(f"cannot read {path}: it is larger than {largest_bytes} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileProblem(f"cannot read {path}: line {line} is not UTF-8") from error


def read_secret(path: Path) -> str:
    """A secret that has a file to itself, without the space and line end around it. Raises FileProblem."""
    secret = read_text(path, largest_bytes=LARGEST_SECRET_BYTES).strip()
    if not secret:
        raise FileProblem(f"cannot read {path}: it is empty")
    return secret
