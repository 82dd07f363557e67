"""A file system in memory, shared by the simulated processes of one machine: torn writes, trouble, loss of power."""

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal, TypeVar

from tests.support.simulation import Killed, SimulatedClock

LONGEST_SYNC_S = 0.05
SET_ASIDE_BYTES = 100
"""Zeros that stand behind what was written to a file that nobody has closed."""


@dataclass(eq=False, slots=True)
class File:
    """What processes see, and what is on the medium."""

    data: bytearray = field(default_factory=bytearray)
    safe: bytes = b""
    is_doubtful: bool = False
    """A sync has failed: its pages count as clean since then, so later ones succeed and save nothing."""


@dataclass(eq=False, slots=True)
class Folder:
    """One below the root; it holds files alone."""

    files: dict[str, File] = field(default_factory=dict)
    safe: dict[str, File] = field(default_factory=dict)
    claim: int | None = None
    """The descriptor that holds it."""


Named = TypeVar("Named", File, Folder)


class Medium:
    """The machine's disk. `trouble` makes calls of every process fail."""

    def __init__(self, root: Path, *, rng: random.Random, clock: SimulatedClock) -> None:
        self.root = root
        self.rng = rng
        self.clock = clock
        self.folders: dict[str, Folder] = {}
        self.safe: dict[str, Folder] = {}
        """The folders whose names are on the medium."""
        self.trouble: Literal["", "full", "broken"] = ""
        self.descriptors = count(3)

    def folder(self, path: Path) -> Folder:
        if path.name not in self.folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self.folders[path.name]

    def file(self, path: Path) -> File:
        files = self.folder(path.parent).files
        if path.name not in files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return files[path.name]

    def lose_power(self) -> None:
        """What was synced stays; the rest is there, or not, or in part, or zeros. Every process is to be killed."""
        self.folders = self._names(self.folders, self.safe)
        self.safe = dict(self.folders)
        for folder in self.folders.values():
            folder.claim = None
            folder.files = self._names(folder.files, folder.safe)
            folder.safe = dict(folder.files)
            for file in folder.files.values():
                file.data = self._content(file)
                file.safe = bytes(file.data)

    def _names(self, names: dict[str, Named], safe: dict[str, Named]) -> dict[str, Named]:
        """Each change since the last sync has happened or not."""
        survivors = {}
        for name in sorted(names.keys() | safe.keys()):
            synced, current = safe.get(name), names.get(name)
            found = self.rng.choice((synced, current))
            if found is not None:
                survivors[name] = found
        return survivors

    def _content(self, file: File) -> bytearray:
        if not file.data.startswith(file.safe):  # truncated since
            return bytearray(file.safe) if self.rng.random() < 0.5 else file.data
        kept = self.rng.randint(len(file.safe), len(file.data))
        zeros = self.rng.choice((0, len(file.data) - kept))  # pages that were given to the file and never written
        return file.data[:kept] + bytes(zeros)


class SimulatedDisk:
    """The medium as one process uses it; `kill` ends that process."""

    def __init__(self, medium: Medium, *, kill: Callable[[], None]) -> None:
        self._medium = medium
        self._rng = medium.rng
        self._kill = kill
        self._open: dict[int, File | Folder] = {}
        self._is_dead = False
        self.fuse: int | None = None
        """Calls until the process dies in the middle of one."""

    def die(self) -> None:
        """What the kernel does when the process is gone. What it wrote stays."""
        self._is_dead = True
        for descriptor, target in self._open.items():
            if isinstance(target, Folder) and target.claim == descriptor:
                target.claim = None
            elif isinstance(target, File):
                target.data += bytes(SET_ASIDE_BYTES)
        self._open.clear()

    def make_folder(self, folder: Path) -> int:
        self._step(writes=True)
        made = self._medium.folders.setdefault(f".{folder.name}", Folder())
        self._step()
        made.claim = self._opened(made)
        del self._medium.folders[f".{folder.name}"]
        self._medium.folders[folder.name] = made
        return made.claim

    def claim(self, folder: Path) -> int | None:
        self._step()
        found = self._medium.folders.get(folder.name)
        if found is None or found.claim is not None:
            return None
        found.claim = self._opened(found)
        return found.claim

    def release(self, claim: int) -> None:
        folder = self._open.pop(claim, None)
        if isinstance(folder, Folder) and folder.claim == claim:
            folder.claim = None

    def names(self, folder: Path) -> list[str]:
        self._step()
        if folder == self._medium.root:
            return sorted(self._medium.folders)
        found = self._medium.folders.get(folder.name)
        return sorted(found.files) if found else []

    def create(self, path: Path, size_bytes: int) -> int:
        self._step(writes=True)
        files = self._medium.folder(path.parent).files
        if path.name in files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        file = files[path.name] = File()
        return self._opened(file)

    def write(self, descriptor: int, data: bytes, /) -> int:
        file = self._file(descriptor)
        part = self._rng.randrange(len(data))
        try:
            self._step()
        except (Killed, OSError):
            file.data += data[:part]
            raise
        if self._medium.trouble == "full" and self._rng.random() < 0.8:
            file.data += data[:part]
            return part
        file.data += data
        return len(data)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        file = self._file(descriptor)
        self._step()
        del file.data[size_bytes:]

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    async def sync(self, descriptor: int) -> None:
        file = self._file(descriptor)
        written = bytes(file.data)
        await self._medium.clock.sleep(self._rng.uniform(0, LONGEST_SYNC_S))
        try:
            self._step()
        except OSError:
            file.is_doubtful = True
            raise
        if not file.is_doubtful:
            file.safe = written

    async def sync_folder(self, folder: Path) -> None:
        await self._medium.clock.sleep(self._rng.uniform(0, LONGEST_SYNC_S))
        self._step()
        if folder == self._medium.root:
            self._medium.safe = dict(self._medium.folders)
        else:
            synced = self._medium.folder(folder)
            synced.safe = dict(synced.files)

    def read(self, path: Path, start: int, size_bytes: int) -> bytes:
        self._step()
        return bytes(self._medium.file(path).data[start : start + size_bytes])

    def size(self, path: Path) -> int:
        self._step()
        return len(self._medium.file(path).data)

    def remove(self, path: Path) -> None:
        self._step()
        if path.parent.name in self._medium.folders:
            self._medium.folder(path.parent).files.pop(path.name, None)

    def remove_folder(self, folder: Path) -> None:
        self._step()
        found = self._medium.folders.get(folder.name)
        if found is not None and found.files:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(folder))
        self._medium.folders.pop(folder.name, None)

    def move(self, path: Path, target: Path) -> None:
        self._step(writes=True)
        file = self._medium.file(path)
        self._medium.folders.setdefault(target.parent.name, Folder()).files[target.name] = file
        del self._medium.folder(path.parent).files[path.name]

    def _step(self, *, writes: bool = False) -> None:
        """One call into the system: where the process may die, and the disk say no."""
        if self._is_dead:
            raise Killed
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self._kill()
                raise Killed
        if self._medium.trouble == "broken" and self._rng.random() < 0.5:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self._medium.trouble == "full" and writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _opened(self, target: File | Folder) -> int:
        descriptor = next(self._medium.descriptors)
        self._open[descriptor] = target
        return descriptor

    def _file(self, descriptor: int) -> File:
        if self._is_dead:
            raise Killed
        file = self._open[descriptor]
        assert isinstance(file, File)
        return file
