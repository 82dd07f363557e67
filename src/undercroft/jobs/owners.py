"""Which processes on this machine still live: each holds a locked file as long as it does, whatever ends it."""

import fcntl
import os
from pathlib import Path
from typing import Protocol


class Owners(Protocol):
    """Knows of workers whether they are gone, where that can be known."""

    def is_gone(self, worker: str, /) -> bool: ...

    def forget(self, worker: str, /) -> None:
        """What it ran has been given to others."""
        ...


class LockedFiles:
    """Workers that share a file system, and so may share an SQLite file."""

    def __init__(self, folder: Path, worker: str) -> None:
        """Takes the lock of `worker`. Raises OSError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._worker = worker
        self._held = os.open(self._path(worker), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_gone(self, worker: str, /) -> bool:
        """Rows name a worker only after it has its lock, so a file that is free, or not there, is a dead one's."""
        if worker == self._worker:
            return False
        try:
            descriptor = os.open(self._path(worker), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def forget(self, worker: str, /) -> None:
        """Removes what is left of a dead worker."""
        self._path(worker).unlink(missing_ok=True)

    def close(self) -> None:
        """This worker is gone."""
        self.forget(self._worker)
        os.close(self._held)

    def _path(self, worker: str) -> Path:
        return self._folder / f"{worker}.lock"
