"""`undercroft backup`, and how it and `undercroft restore` are told the passphrase."""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from undercroft.cli.installation import read_settings
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock
from undercroft.errors import ConfigurationError, InvalidRequest
from undercroft.settings.files import FileProblem, read_secret
from undercroft.settings.model import Settings

if TYPE_CHECKING:
    from undercroft.storage.engine import Database

HELP: Final = """Writes everything to one file, beside running servers: database, files, embedded vectors and keys.

The file is for this user alone, and the keys in it are encrypted under a passphrase, which is asked for, or read from
--passphrase-file or BACKUP_PASSPHRASE. Vectors in another store than the embedded one are not in it.

Example: undercroft backup monday.backup
         undercroft backup monday.backup --passphrase-file /run/secrets/backup"""
VARIABLE: Final = "BACKUP_PASSPHRASE"
CONNECTIONS: Final = 4


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the file to write; it may not be there yet")
    parser.add_argument("--without-keys", action="store_true", help="leave the encryption keys out")
    add_passphrase(parser)
    add_config(parser)
    add_json(parser)


def add_passphrase(parser: ArgumentParser) -> None:
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="read the passphrase from it")


def run(options: Namespace, out: Output) -> int:
    from undercroft.assembly.backups import source_of
    from undercroft.backups.backup import back_up, count_rows

    settings = read_settings(options, out)
    check_database(settings)
    database = open_it(settings)
    try:
        source = source_of(settings, database, with_keys=not options.without_keys)
        passphrase = read_passphrase(options, what="encrypt the encryption keys", twice=True) if source.keys else ""
        total = database.read_sync(count_rows) if database.state_sync().is_ready else 0
        with out.progress("backing up", total) as advance:
            manifest = asyncio.run(
                back_up(source, options.file, passphrase=passphrase, clock=SystemClock(), advance=advance)
            )
    finally:
        database.close()
    rows = sum(table.rows for table in manifest.tables.values())
    if (other := settings.vectors.chosen) != "embedded":
        out.note(f"vectors are in {other}, and not in this backup: back that up with its own means")
    value = {
        "file": str(options.file),
        "bytes": options.file.stat().st_size,
        "schema": manifest.schema,
        "rows": rows,
        "files": sum(bool(blob.entry) for blob in manifest.blobs),
        "vectors": bool(manifest.vectors_sha256),
        "keys": manifest.keys is not None,
        "tables": manifest.tables,
    }
    parts = [f"{rows} rows", f"{value['files']} files"]
    parts += ["vectors"] if manifest.vectors_sha256 else []
    parts += ["encryption keys (under the passphrase)"] if manifest.keys is not None else []
    out.show(value, text=f"{options.file} holds {', '.join(parts)}; {value['bytes']} bytes.")
    return 0


def check_database(settings: Settings) -> None:
    """Raises ConfigurationError for an SQLite database that is not there: opening one would make it."""
    from undercroft.storage.engine import FILE_NAME

    url = settings.database.url
    if url is not None and settings.database.is_postgresql:
        return
    file = settings.data_dir / FILE_NAME if url is None else Path(url.get_secret_value().removeprefix("sqlite:///"))
    if not file.exists():
        raise ConfigurationError(f"There is no database {file}.", hint="Nothing was started here yet.")


def open_it(settings: Settings) -> "Database":
    """The database as it is: its schema is left alone."""
    from undercroft.storage.engine import open_database

    url = settings.database.url
    return open_database(
        url.get_secret_value() if url else None,
        data_dir=settings.data_dir,
        pool_size=CONNECTIONS,
        clock=SystemClock(),
        migrates=False,
    )


def read_passphrase(options: Namespace, *, what: str, twice: bool = False) -> str:
    """From the file, the variable or the terminal. Raises InvalidRequest where there is none of them."""
    if options.passphrase_file is not None:
        try:
            return read_secret(options.passphrase_file)
        except FileProblem as problem:
            raise InvalidRequest(f"--passphrase-file: {problem}.") from None
    if text := os.environ.get(VARIABLE):
        return text
    if not sys.stdin.isatty():
        raise InvalidRequest(
            f"A passphrase is needed to {what}.", hint=f"Give it with --passphrase-file FILE, or in {VARIABLE}."
        )
    import getpass

    text = getpass.getpass("passphrase: ")
    if twice and getpass.getpass("once more: ") != text:
        raise InvalidRequest("These were two different passphrases.")
    return text
