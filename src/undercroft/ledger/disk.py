"""What the spool needs of a file system: the real one here, one with planted faults in the simulator."""

import asyncio
import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Protocol

from undercroft.ledger.mapped import MappedFile, can_be_mapped

# macOS has no fdatasync; a file that only grows pays little for the full one.
_sync_data = getattr(os, "fdatasync", os.fsync)


class Disk(Protocol):
    """Every method raises OSError as the system does; descriptors and claims are opaque to the caller."""

    def make_folder(self, folder: Path) -> int:
        """A new folder that is claimed before anyone can see it; `release` it when done."""
        ...

    def claim(self, folder: Path) -> int | None:
        """Exclusive hold of a folder, or None while a living process has it (or when it is gone)."""
        ...

    def release(self, claim: int) -> None: ...

    def names(self, folder: Path) -> list[str]:
        """Sorted; a folder that is not there has none."""
        ...

    def create(self, path: Path, size_bytes: int) -> int:
        """A descriptor that appends to a new file, which is not to become larger than this. Until it is closed or
        truncated, zeros may stand behind what was written."""
        ...

    def write(self, descriptor: int, data: bytes, /) -> int: ...

    def truncate(self, descriptor: int, size_bytes: int) -> None: ...

    def close(self, descriptor: int) -> None: ...

    async def sync(self, descriptor: int) -> None:
        """On the medium when this returns."""
        ...

    async def sync_folder(self, folder: Path) -> None:
        """The names in a folder are on the medium when this returns."""
        ...

    def read(self, path: Path, start: int, size_bytes: int) -> bytes:
        """Less than asked only at the end of the file."""
        ...

    def size(self, path: Path) -> int: ...

    def remove(self, path: Path) -> None: ...

    def remove_folder(self, folder: Path) -> None: ...

    def move(self, path: Path, target: Path) -> None: ...


class SystemDisk:
    """The machine's own."""

    def __init__(self) -> None:
        self._mapped: dict[int, MappedFile] = {}

    def make_folder(self, folder: Path) -> int:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Claimed under a hidden name and then renamed: an adopter never meets it between making and claiming.
        hidden = folder.with_name(f".{folder.name}")
        hidden.mkdir(mode=0o700, exist_ok=True)  # an earlier attempt may have ended here
        claim = self.claim(hidden)
        if claim is None:
            raise OSError(errno.ENOLCK, f"{hidden} cannot be locked")
        try:
            hidden.rename(folder)
        except OSError:
            self.release(claim)
            raise
        return claim

    def claim(self, folder: Path) -> int | None:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The former holder may have removed the folder while we opened it.
            if os.fstat(descriptor).st_ino == folder.stat().st_ino:
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def release(self, claim: int) -> None:
        os.close(claim)

    def names(self, folder: Path) -> list[str]:
        try:
            return sorted(path.name for path in folder.iterdir())
        except FileNotFoundError:
            return []

    def create(self, path: Path, size_bytes: int) -> int:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if can_be_mapped(path.parent):
            with contextlib.suppress(OSError):  # a limit on files' sizes, say: then it is written to as any file is
                self._mapped[descriptor] = MappedFile(descriptor, size_bytes)
        return descriptor

    def write(self, descriptor: int, data: bytes, /) -> int:
        mapped = self._mapped.get(descriptor)
        if mapped is None:
            return os.write(descriptor, data)
        try:
            return mapped.write(data)
        except OSError:  # nothing more can be reserved: what is left of the disk is written to
            self.truncate(descriptor, mapped.end)
            return os.write(descriptor, data)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        self._unmap(descriptor)
        os.ftruncate(descriptor, size_bytes)

    def close(self, descriptor: int) -> None:
        end = self._unmap(descriptor)
        try:
            if end is not None:
                os.ftruncate(descriptor, end)
        finally:
            os.close(descriptor)

    def _unmap(self, descriptor: int) -> int | None:
        """From now on it is written to as any file is. Where that began, if it was mapped."""
        mapped = self._mapped.pop(descriptor, None)
        if mapped is None:
            return None
        mapped.close()
        return mapped.end

    async def sync(self, descriptor: int) -> None:
        await asyncio.to_thread(_sync_data, descriptor)

    async def sync_folder(self, folder: Path) -> None:
        await asyncio.to_thread(_sync_folder, folder)

    def read(self, path: Path, start: int, size_bytes: int) -> bytes:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, size_bytes, start)
        finally:
            os.close(descriptor)

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def remove_folder(self, folder: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()

    def move(self, path: Path, target: Path) -> None:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        path.rename(target)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
