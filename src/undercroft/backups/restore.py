"""Puts a backup into an empty installation: all of it, compared with what was written, or nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from undercroft.access.secret_repository import every_token
from undercroft.access.secrets import SecretBox, put_keys
from undercroft.backups import archive, tables
from undercroft.backups.archive import Blob, Reader
from undercroft.backups.keys import unseal
from undercroft.errors import Conflict, InvalidRequest, Unavailable, UndercroftError, UnreadableSecret
from undercroft.files.blob import BlobStore
from undercroft.storage.engine import Database
from undercroft.storage.migrate import HEAD
from undercroft.storage.schema import files

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a backup goes."""

    database: Database
    blobs: BlobStore
    blobs_folder: Path | None
    """Where files would be already, if there were any."""
    vectors: Path | None
    """Where the embedded vector store's file goes; None: another store is used here."""
    keys: Sequence[str]
    """The encryption keys that are there."""
    key_file: Path | None
    """Where those of the backup may be put."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put where."""

    rows: int
    blobs: int
    missing_blobs: int
    """Files that were deleted while the backup was made: they are not restored."""
    vectors: bool
    left_out_vectors: bool
    key_file: Path | None
    secrets: int


async def restore(target: Target, path: Path, *, passphrase: str, may_lose_keys: bool, advance: Advance) -> Restored:
    """Raises InvalidRequest, Conflict and Unavailable: then nothing was changed."""
    with archive.open_archive(path) as reader:
        manifest = reader.manifest
        if manifest.schema != HEAD:
            raise InvalidRequest(
                f"{path} was made at schema {manifest.schema} by undercroft {manifest.undercroft}; this version has "
                f"{HEAD}. Nothing was changed.",
                hint="Restore it with that version, and migrate afterwards.",
            )
        await asyncio.to_thread(reader.check)
        _prepare(target, path)
        found = _keys(target, reader, passphrase)
        if manifest.vectors_sha256 and target.vectors is not None and target.vectors.exists():
            raise Conflict(f"{target.vectors} is there already. Nothing was changed.")
        async with contextlib.AsyncExitStack() as undo:
            await _put_blobs(target, reader, undo)
            is_key_put = _put_keys(target, found, undo)
            vectors = _put_vectors(target, reader, undo)
            usable = found or tuple(target.keys)
            fill = partial(_fill, reader=reader, keys=usable, may_lose_keys=may_lose_keys, advance=advance)
            rows, secrets = await asyncio.to_thread(target.database.write_sync, fill)
            undo.pop_all()
        return Restored(
            rows=rows,
            blobs=sum(bool(blob.entry) for blob in manifest.blobs),
            missing_blobs=sum(not blob.entry for blob in manifest.blobs),
            vectors=vectors,
            left_out_vectors=bool(manifest.vectors_sha256) and not vectors,
            key_file=target.key_file if is_key_put else None,
            secrets=secrets,
        )


def _prepare(target: Target, path: Path) -> None:
    """The schema is there, and nothing else."""
    database = target.database
    state = database.state_sync()
    if state.kind == "empty":
        database.migrate()
    elif not state.is_ready or state.revision != HEAD:
        raise Unavailable(f"{path} cannot be restored: {state.reason or 'the schema is a newer one'}.")
    database.read_sync(tables.check_empty)
    folder = target.blobs_folder
    if folder is not None and folder.is_dir() and any(folder.iterdir()):
        raise Conflict(
            f"{folder} holds files of another installation. Nothing was changed.", hint="Restore to a new `data_dir`."
        )


def _keys(target: Target, reader: Reader, passphrase: str) -> tuple[str, ...]:
    """The backup's keys, where they are to be put; raises where they cannot be."""
    sealed = reader.manifest.keys
    if sealed is None or not passphrase:
        if sealed is not None and not target.keys:
            raise InvalidRequest(
                "The backup has encryption keys, and they need its passphrase. Nothing was changed.",
                hint="Give it with --passphrase-file, or bring the key by ENCRYPTION_KEY.",
            )
        return ()
    found = unseal(sealed, passphrase)
    if target.keys:
        return ()  # whether they open what is restored is looked at when that is there
    if target.key_file is None:
        raise InvalidRequest(
            "There is no place for the backup's encryption keys here. Nothing was changed.",
            hint="Say where to put them with --key-file FILE; then start with ENCRYPTION_KEY_FILE=FILE.",
        )
    if target.key_file.exists():
        raise Conflict(f"{target.key_file} is there already. Nothing was changed.")
    return found


async def _put_blobs(target: Target, reader: Reader, undo: contextlib.AsyncExitStack) -> None:
    for blob in reader.manifest.blobs:
        if blob.entry:
            undo.push_async_callback(target.blobs.delete, blob.organisation, blob.name)
            await target.blobs.write(blob.organisation, blob.name, _pieces(reader, blob))


async def _pieces(reader: Reader, blob: Blob) -> AsyncIterator[bytes]:
    for piece in reader.pieces(blob.entry):
        yield piece


def _put_keys(target: Target, found: tuple[str, ...], undo: contextlib.AsyncExitStack) -> bool:
    if not found or target.key_file is None:
        return False
    target.key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    put_keys(target.key_file, found)
    undo.callback(target.key_file.unlink, missing_ok=True)
    return True


def _put_vectors(target: Target, reader: Reader, undo: contextlib.AsyncExitStack) -> bool:
    if not reader.manifest.vectors_sha256 or target.vectors is None:
        return False
    place = target.vectors
    undo.callback(place.unlink, missing_ok=True)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.touch(mode=0o600)
    with place.open("wb") as file:
        for piece in reader.pieces(archive.VECTORS):
            file.write(piece)
    return True


def _fill(
    connection: Connection, *, reader: Reader, keys: Sequence[str], may_lose_keys: bool, advance: Advance
) -> tuple[int, int]:
    """Every row, then a look at what came of it; how many rows, and how many secrets can be read."""
    gone = {(blob.organisation, blob.name) for blob in reader.manifest.blobs if not blob.entry}
    tables.clear_defaults(connection)
    count = 0
    for table in tables.tables():
        lines = reader.lines(table.name)
        if table.name == files.name:
            lines = _present(lines, gone)
        count += tables.fill(connection, table, _counted(lines, advance))
    for table in tables.tables():
        expected = reader.manifest.tables[table.name]
        if table.name == files.name:
            expected = tables.summed(_present(reader.lines(table.name), gone))
        if tables.summed(tables.lines_of(connection, table)) != expected:
            raise UndercroftError(f"{table.name} came out other than it was. Nothing was restored.")
    tables.move_sequences(connection)
    return count, _check_secrets(connection, keys, may_lose_keys=may_lose_keys)


def _present(lines: Iterator[bytes], gone: set[tuple[str, str]]) -> Iterator[bytes]:
    """Files whose bytes are in the backup; uploads that were under way are not."""
    for line in lines:
        row = tables.decoded(files, line)
        if row["state"] == "stored" and (row["organisation"], row["id"]) not in gone:
            yield line


def _counted(lines: Iterator[bytes], advance: Advance) -> Iterator[bytes]:
    for line in lines:
        advance(1)
        yield line


def _check_secrets(connection: Connection, keys: Sequence[str], *, may_lose_keys: bool) -> int:
    readable, unreadable = 0, []
    box = SecretBox(keys) if keys else None
    for name, token in every_token(connection):
        try:
            if box is None:
                raise UnreadableSecret("There is no key.")
            box.open(token)
            readable += 1
        except UnreadableSecret:
            unreadable.append(name)
    if unreadable and not may_lose_keys:
        raise InvalidRequest(
            f"{len(unreadable)} stored secrets of the backup cannot be read with the keys here ({unreadable[0]} …). "
            "Nothing was restored.",
            hint="Add the former key to ENCRYPTION_KEY, behind a comma; if it is lost, --keys-are-lost leaves it.",
        )
    return readable
