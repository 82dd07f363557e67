"""The file behind an SQLite database: made with the right mode, locked for migrations, its troubles put into words."""

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from undercroft.clock import Clock
from undercroft.errors import ConfigurationError, Unavailable, UndercroftError
from undercroft.storage.engines.checkpoints import BACKSTOP_PAGES
from undercroft.storage.transaction import busy

MIGRATION_S: Final = 60.0
"""How long a start waits for another process that migrates."""
BUSY_S: Final = 5.0
"""How long another process may hold the write lock before ours gives up."""
JOURNAL_BYTES: Final = 64 * 1024 * 1024
"""What is left of the write-ahead log after a burst of writes."""


def prepare(path: Path) -> None:
    """Makes the folder (0700) and the file (0600) where they are missing; refuses what cannot be a database."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            # SQLite would take the umask's mode. Only a new file may be opened here: closing any descriptor of a
            # database file drops the locks this process holds on it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if not path.exists():
            raise _unusable(path, f"{path.parent} is not a folder") from None
    except OSError as error:
        raise explain_os(error, path) from error
    if not path.is_file():
        raise _unusable(path, "it is a folder" if path.is_dir() else "it is not a file")
    for place in (path, path.parent):
        if not os.access(place, os.R_OK | os.W_OK):
            raise _unusable(path, f"{place} cannot be written to")


def writing_pragmas(*, is_durable: bool) -> tuple[str, ...]:
    """How a connection that writes is set up."""
    # In WAL mode NORMAL keeps every commit through a crash of the process, and the file whole through a loss of
    # power, which may cost the commits since the last checkpoint; FULL keeps those too and costs a sync each.
    synchronous = ("synchronous=FULL", "fullfsync=ON") if is_durable else ("synchronous=NORMAL",)
    # What a savepoint may have to take back is kept in memory: a file for it costs an insert of many rows a sixth.
    log = (f"journal_size_limit={JOURNAL_BYTES}", f"wal_autocheckpoint={BACKSTOP_PAGES}")
    return ("temp_store=MEMORY", *log, *synchronous)


def open_engine(path: Path, begin: str | None, pragmas: tuple[str, ...], **pool: Any) -> Engine:
    """An engine whose transactions begin with `begin`, not when the driver thinks they should; None: when whoever has
    a connection says so to the driver."""

    engine = create_engine("sqlite://", creator=lambda: connect(path, pragmas), **pool)
    if begin is not None:
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def connect(path: Path, pragmas: tuple[str, ...]) -> sqlite3.Connection:
    """A connection that begins no transaction by itself."""
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def migration_lock(path: Path, clock: Clock) -> Iterator[None]:
    """Held by one process at a time, and let go by the kernel when that process dies."""
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise explain_os(error, path) from error
    try:
        deadline = clock.monotonic() + MIGRATION_S
        while not _locked(descriptor):
            if clock.monotonic() >= deadline:
                raise Unavailable("Another process has been migrating the database for too long.", retry_after_s=10)
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def explain_os(error: OSError, path: Path) -> UndercroftError:
    """Why a file or folder of the database could not be made."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(path)
    return _unusable(path, error.strerror or str(error))


def explain(error: BaseException, path: Path, *, is_reading: bool = False) -> UndercroftError | None:
    """What an error of SQLite's means to whoever runs undercroft; None when it is not about the file or its locks."""
    if isinstance(error, NoConnection):
        return busy()
    cause = error.orig if isinstance(error, DBAPIError) else error
    match getattr(cause, "sqlite_errorcode", 0) & 0xFF:  # the low byte; the others only say it in more detail
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unavailable("Another process is writing to the database.", code="database_busy", retry_after_s=1)
        case sqlite3.SQLITE_FULL:
            return _full(path)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN:
            return Unavailable(
                f"The database file {path.name} cannot be read or written.",
                code="database_unavailable",
                hint="Look at the disk, and at the limit of open files.",
                retry_after_s=5,
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM if not is_reading:
            return _unusable(path, "it cannot be written to")
        case sqlite3.SQLITE_NOTADB:
            return _unusable(path, "it is not an SQLite database")
        case sqlite3.SQLITE_CORRUPT:
            return _unusable(path, "it is damaged", hint="Nothing was changed. Keep the file and restore a backup.")
    return None


def _full(path: Path) -> Unavailable:
    return Unavailable(
        "The disk that holds the database is full.",
        code="disk_full",
        hint=f"Free some space in {path.parent}.",
        retry_after_s=10,
    )


def _unusable(path: Path, why: str, *, hint: str | None = None) -> ConfigurationError:
    return ConfigurationError(
        f"The database file {path} cannot be used: {why}.",
        hint=hint or "Nothing was changed. Name another with DATABASE_URL or `data_dir`, or move this one away.",
    )
