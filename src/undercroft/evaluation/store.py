"""Answers on disk, by everything that they depend on: a second run costs nothing, and a test needs no key."""

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec

from undercroft.evaluation.types import Answer


def key_of(*parts: Any) -> str:
    """The same for the same parts, whatever process asks."""
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


class AnswerStore:
    """A file an answer. Several processes may write at once: a file appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> Answer | None:
        """None for an answer that was never kept, or cannot be read any more."""
        try:
            return msgspec.json.decode(self._path(key).read_bytes(), type=Answer)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def put(self, key: str, answer: Answer) -> None:
        """Failures are not kept: they may be gone the next time."""
        if answer.error:
            return
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(answer), indent=1) + b"\n")
        fresh.replace(path)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key[2:]}.json"
