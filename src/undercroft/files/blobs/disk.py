"""Blobs as files of a directory: for one machine, or machines that share a volume."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import quote

from undercroft.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

READ_BYTES: Final = 256 * 1024
LONGEST_NAME: Final = 200
"""File systems take 255 bytes."""
WRITE_BYTES: Final = 1024 * 1024
"""Written at a time, in a thread: the network's pieces are too small to start one for each."""


class Disk:
    """A folder for each organisation. A blob is written beside its place, and put there when it is on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def write(self, organisation: str, name: str, pieces: AsyncIterable[bytes], /) -> int:
        place = self._place(organisation, name)
        partial = place.with_name(f"{place.name}.part")
        size = 0
        file = await asyncio.to_thread(_open_new, partial)
        try:
            waiting = bytearray()
            async for piece in pieces:
                waiting += piece
                size += len(piece)
                if len(waiting) >= WRITE_BYTES:
                    await asyncio.to_thread(_write, file, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(_finish, file, bytes(waiting), partial, place)
        finally:
            file.close()
        return size

    async def read(self, organisation: str, name: str, /) -> AsyncGenerator[bytes, None]:
        place = self._place(organisation, name)
        try:
            file = await asyncio.to_thread(place.open, "rb")
        except FileNotFoundError:
            raise NotFound(f"The content of '{name}' is not there.", code="unknown_file") from None
        except OSError as error:
            raise _away(error) from error
        try:
            while piece := await asyncio.to_thread(_read, file):
                yield piece
        finally:
            file.close()

    async def delete(self, organisation: str, name: str, /) -> None:
        await asyncio.to_thread(_delete, self._place(organisation, name))

    def _place(self, organisation: str, name: str) -> Path:
        """Names are ours; organisations are what somebody called them, and lead nowhere else."""
        owner = quote(organisation, safe="")
        if len(owner) > LONGEST_NAME:
            owner = hashlib.blake2b(organisation.encode(), digest_size=32).hexdigest()
        return self._folder / f"o-{owner}" / f"b-{quote(name, safe='')}"


def _open_new(path: Path) -> IO[bytes]:
    with _explained():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "wb", buffering=0)


def _write(file: IO[bytes], data: bytes) -> None:
    with _explained():
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]


def _finish(file: IO[bytes], data: bytes, partial: Path, place: Path) -> None:
    with _explained():
        _write(file, data)
        os.fsync(file.fileno())
        file.close()
        partial.rename(place)
        folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # the name, too, is on disk before anybody is told of it
        finally:
            os.close(folder)


def _read(file: IO[bytes]) -> bytes:
    with _explained():
        return file.read(READ_BYTES)


def _delete(place: Path) -> None:
    with _explained():
        place.unlink(missing_ok=True)
        place.with_name(f"{place.name}.part").unlink(missing_ok=True)


@contextmanager
def _explained() -> "Iterator[None]":
    try:
        yield
    except OSError as error:
        raise _away(error) from error


def _away(error: OSError) -> Unavailable:
    if error.errno in (ENOSPC, EDQUOT):
        return Unavailable("The disk for files is full.", code="disk_full", retry_after_s=10)
    return Unavailable(f"The folder for files cannot be used: {error.strerror}.", code="files_unavailable")
