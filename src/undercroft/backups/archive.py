"""The backup's file: a zip archive whose last entry says what all others are."""

import hashlib
import os
import zipfile
from collections.abc import AsyncIterable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import msgspec

from undercroft.backups.keys import SealedKeys
from undercroft.backups.tables import Sum, summed
from undercroft.errors import InvalidRequest

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
VECTORS: Final = "vectors.db"
READ_BYTES: Final = 256 * 1024


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes of a file, and where they are in the archive; `entry` is empty where they were deleted meanwhile."""

    organisation: str
    name: str
    entry: str
    size_bytes: int = 0
    sha256: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds."""

    format: int = FORMAT
    undercroft: str
    schema: str
    database: str
    made_us: int
    tables: dict[str, Sum]
    columns: dict[str, tuple[str, ...]]
    blobs: tuple[Blob, ...]
    vectors_sha256: str = ""
    """Of the embedded vector store's file; empty where it is not in the backup."""
    keys: SealedKeys | None = None


class Writer:
    """Fills an archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def table(self, name: str, lines: Iterable[bytes]) -> Sum:
        with self._archive.open(_table(name), "w", force_zip64=True) as entry:

            def written() -> Iterator[bytes]:
                for line in lines:
                    entry.write(line + b"\n")
                    yield line

            return summed(written())

    async def blob(self, blob: Blob, pieces: AsyncIterable[bytes]) -> Blob:
        """Raises what `pieces` raises; an entry that was begun then stays without meaning."""
        digest, size = hashlib.sha256(), 0
        stream = aiter(pieces)
        first = await anext(stream, b"")
        with self._archive.open(blob.entry, "w", force_zip64=True) as entry:
            piece = first
            while piece:
                entry.write(piece)
                digest.update(piece)
                size += len(piece)
                piece = await anext(stream, b"")
        return msgspec.structs.replace(blob, size_bytes=size, sha256=digest.hexdigest())

    def file(self, name: str, path: Path) -> str:
        """Copies a file in; its SHA-256."""
        digest = hashlib.sha256()
        with path.open("rb") as source, self._archive.open(name, "w", force_zip64=True) as entry:
            while piece := source.read(READ_BYTES):
                entry.write(piece)
                digest.update(piece)
        return digest.hexdigest()

    def finish(self, manifest: Manifest) -> None:
        self._archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))


@contextmanager
def new_archive(path: Path) -> Iterator[Writer]:
    """A file (0600) that is there, whole, once the block has ended well, and not at all otherwise.

    Raises InvalidRequest when there is one already, or it cannot be written.
    """
    draft = path.with_name(f"{path.name}.part")
    if path.exists():
        raise InvalidRequest(f"{path} is there already.", hint="Name another file.")
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidRequest(f"{draft} cannot be written: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                yield Writer(archive)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InvalidRequest(f"{draft} cannot be written: {error.strerror}.") from error
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


class Reader:
    """An archive that has a manifest."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive = archive
        self._path = path
        try:
            self.manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
        except (KeyError, msgspec.DecodeError) as error:
            raise _unusable(path, "it has no readable manifest") from error
        if self.manifest.format != FORMAT:
            raise _unusable(path, f"it has format {self.manifest.format}, and this undercroft knows {FORMAT}")

    def lines(self, table: str) -> Iterator[bytes]:
        with self._opened(_table(table)) as entry:
            for line in entry:
                yield line.rstrip(b"\n")

    def pieces(self, entry: str) -> Iterator[bytes]:
        with self._opened(entry) as source:
            while piece := source.read(READ_BYTES):
                yield piece

    @contextmanager
    def _opened(self, entry: str) -> Iterator[IO[bytes]]:
        try:
            with self._archive.open(entry) as source:
                yield source
        except (KeyError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise _unusable(self._path, f"its entry {entry} is damaged") from error

    def check(self) -> None:
        """Reads all of it once. Raises InvalidRequest for anything that is not what was written."""
        for name, expected in self.manifest.tables.items():
            if summed(self.lines(name)) != expected:
                raise _unusable(self._path, f"the rows of {name} are not those that were written")
        for blob in self.manifest.blobs:
            if blob.entry and self._sha256(blob.entry) != blob.sha256:
                raise _unusable(self._path, f"the content of {blob.name} is not what was written")
        if self.manifest.vectors_sha256 and self._sha256(VECTORS) != self.manifest.vectors_sha256:
            raise _unusable(self._path, "the vectors are not those that were written")

    def _sha256(self, entry: str) -> str:
        digest = hashlib.sha256()
        for piece in self.pieces(entry):
            digest.update(piece)
        return digest.hexdigest()


@contextmanager
def open_archive(path: Path) -> Iterator[Reader]:
    """Raises InvalidRequest for a file that is no backup, or was cut short."""
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    except zipfile.BadZipFile as error:
        raise _unusable(path, "it is no backup, or was cut short") from error
    with archive:
        yield Reader(archive, path)


def _table(name: str) -> str:
    return f"tables/{name}.jsonl"


def _unusable(path: Path, why: str) -> InvalidRequest:
    return InvalidRequest(f"{path} cannot be restored: {why}. Nothing was changed.")
