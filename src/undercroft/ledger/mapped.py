"""A file that grows by copying into memory it is mapped to: a record costs a copy, and no call of the system.

What was copied survives the process as what was written does: the memory is the system's own cache of the file.
"""

import errno
import mmap
import os
from pathlib import Path
from typing import Final

STEP_BYTES: Final = 256 * 1024
"""What is reserved at a time: each time waits for the file system's journal, for half a millisecond beside a busy
database. Only there is anything copied to: elsewhere a full disk would end the process."""
_KEEP_WHAT_IS_RESERVED: Final = frozenset({"ext4", "xfs", "tmpfs"})
"""File systems on which what was reserved can be written, and written again, when the disk is full. Others copy what is
written to another place, or are not known to keep it."""
_MOUNTS: Final = Path("/proc/self/mountinfo")


def can_be_mapped(folder: Path) -> bool:
    """Whether files in this folder stay writable where they were reserved."""
    if not hasattr(os, "posix_fallocate"):
        return False
    device = folder.stat().st_dev
    place = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return False
    # The device stands third in a line, and the file system's type behind a dash of its own.
    types = {fields[fields.index("-") + 1] for fields in mounts if fields[2] == place}
    return bool(types) and types <= _KEEP_WHAT_IS_RESERVED


class MappedFile:
    """`end` is where the next copy goes. Behind it stand zeros, to the size that the file was given."""

    __slots__ = ("_descriptor", "_memory", "_reserved", "end")

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        """Gives an empty file its size. Raises OSError."""
        os.ftruncate(descriptor, size_bytes)
        self._memory = mmap.mmap(descriptor, size_bytes)
        self._descriptor = descriptor
        self._reserved = 0
        self.end = 0

    def write(self, data: bytes) -> int:
        """All of it. Raises OSError, and has then written nothing."""
        start, written = self.end, len(data)
        end = start + written
        if end > self._reserved:
            self._reserve(end)
        self._memory[start:end] = data
        self.end = end
        return written

    def close(self) -> None:
        """Lets go of the memory, and not of the file."""
        self._memory.close()

    def _reserve(self, end: int) -> None:
        wanted = min(-(-end // STEP_BYTES) * STEP_BYTES, len(self._memory))
        if end > wanted:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        os.posix_fallocate(self._descriptor, self._reserved, wanted - self._reserved)
        self._reserved = wanted
