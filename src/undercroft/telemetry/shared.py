"""One mapped file per process in a directory that they share; whoever reads adds them up.

A process holds a lock on its file for as long as it lives, so a killed one is known by a file that nobody holds. Its
numbers are folded into the file `folded`, so that counters never go down, and the file goes.
"""

import contextlib
import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from undercroft.telemetry.slots import SEGMENT_BYTES, Totals

_SUFFIX = ".metrics"


class SharedFile:
    """This process's file among those of its directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        with self._alone():
            self._fold()
            self._descriptor, path = tempfile.mkstemp(suffix=_SUFFIX, prefix=f"{os.getpid()}-", dir=directory)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self.path = Path(path)
        self._size = 0

    def more(self) -> memoryview:
        """Another segment at the end of the file."""
        # Written, not only made longer: on a full disk a hole in the file would kill us (SIGBUS) when we count.
        if os.pwrite(self._descriptor, bytes(SEGMENT_BYTES), self._size) < SEGMENT_BYTES:
            raise OSError(f"no room for metrics in {self._directory}")
        mapped = mmap.mmap(self._descriptor, SEGMENT_BYTES, offset=self._size)
        self._size += SEGMENT_BYTES
        return memoryview(mapped)

    def totals(self) -> Totals:
        """The sum over all processes, dead and alive."""
        with self._alone():
            totals, living = self._fold()
            for path in living:
                totals.add(path.read_bytes(), alive=True)
        return totals

    def close(self) -> None:
        """Gives the file up: the next reader folds it in."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # mmap holds duplicates of the descriptor: closing is not enough
        os.close(self._descriptor)

    def abandon(self) -> None:
        """In a forked child: the lock is the parent's, so only our descriptor goes."""
        os.close(self._descriptor)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time over all processes: a file is not folded while another reader still counts it."""
        lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # a child forked meanwhile has the descriptor too, and would hold on to it
            os.close(lock)

    def _fold(self) -> tuple[Totals, list[Path]]:
        """What the dead have counted, and the files of the living."""
        totals = Totals()
        folded = self._directory / "folded"
        if folded.exists():
            totals.add(folded.read_bytes(), alive=False)
        living: list[Path] = []
        dead: list[Path] = []
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            if _is_held(path):
                living.append(path)
                continue
            dead.append(path)
            if path.name not in totals.folded:  # or whoever folded it died before it could remove the file
                totals.add(path.read_bytes(), alive=False)
        if dead:
            totals.folded = {path.name for path in dead}
            unfinished = folded.with_suffix(".new")
            unfinished.write_bytes(totals.encode())
            unfinished.replace(folded)
            for path in dead:
                path.unlink()
        return totals, living


def _is_held(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
