"""Writes a backup beside running servers: all tables as they were at one moment, and the bytes of the files in them."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, func, select

from undercroft import __version__
from undercroft.backups import archive, keys, tables
from undercroft.backups.archive import Blob, Manifest, Writer
from undercroft.backups.tables import Sum
from undercroft.clock import Clock
from undercroft.errors import NotFound, Unavailable
from undercroft.files.blob import BlobStore
from undercroft.storage.engine import Database
from undercroft.storage.migrate import HEAD
from undercroft.storage.schema import files
from undercroft.storage.table_file import copy_file

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Source:
    """What there is to be backed up."""

    database: Database
    blobs: BlobStore
    vectors: Path | None
    """The embedded vector store's file, where there is one."""
    keys: Sequence[str] = ()
    """Encryption keys; none: they are left out."""


async def back_up(source: Source, path: Path, *, passphrase: str, clock: Clock, advance: Advance) -> Manifest:
    """Raises InvalidRequest when the file cannot be written, and Unavailable when the database is not ready."""
    state = source.database.state_sync()
    if not state.is_ready:
        raise Unavailable(f"There is nothing to be backed up: {state.reason}.")
    with archive.new_archive(path) as writer:
        sums, named = await asyncio.to_thread(
            source.database.read_sync, partial(_tables, writer=writer, advance=advance)
        )
        blobs = [await _blob(writer, source.blobs, blob) for blob in named]
        vectors = "" if source.vectors is None else await asyncio.to_thread(_vectors, writer, source.vectors)
        manifest = Manifest(
            undercroft=__version__,
            schema=HEAD,
            database=source.database.dialect,
            made_us=clock.now_us(),
            tables=sums,
            columns={str(table.name): tuple(str(column.name) for column in table.columns) for table in tables.tables()},
            blobs=tuple(blobs),
            vectors_sha256=vectors,
            keys=keys.seal(source.keys, passphrase) if source.keys else None,
        )
        writer.finish(manifest)
    return manifest


def count_rows(connection: Connection) -> int:
    """How many rows a backup will have, about."""
    counts = (connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables.tables())
    return sum(counts)


def _tables(connection: Connection, *, writer: Writer, advance: Advance) -> tuple[dict[str, Sum], list[Blob]]:
    """All rows on one snapshot, and which blobs belong to them."""

    def counted(lines: Iterator[bytes]) -> Iterator[bytes]:
        for line in lines:
            advance(1)
            yield line

    sums = {
        str(table.name): writer.table(table.name, counted(tables.lines_of(connection, table)))
        for table in tables.tables()
    }
    stored = select(files.c.organisation, files.c.id).where(files.c.state == "stored").order_by(files.c.created_us)
    rows = connection.execute(stored).all()
    return sums, [
        Blob(organisation=row.organisation, name=row.id, entry=f"blobs/{number}") for number, row in enumerate(rows)
    ]


async def _blob(writer: Writer, blobs: BlobStore, blob: Blob) -> Blob:
    try:
        return await writer.blob(blob, blobs.read(blob.organisation, blob.name))
    except NotFound:  # deleted since the rows were read: its row is left out when the backup is restored
        return Blob(organisation=blob.organisation, name=blob.name, entry="")


def _vectors(writer: Writer, file: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="undercroft-", dir=file.parent) as folder:
        copy = Path(folder) / archive.VECTORS
        copy_file(file, copy)
        return writer.file(archive.VECTORS, copy)
