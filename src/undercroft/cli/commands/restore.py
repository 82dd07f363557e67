"""`undercroft restore`."""

import asyncio
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from undercroft.cli.commands.backup import add_passphrase, open_it, read_passphrase
from undercroft.cli.installation import read_settings
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json

HELP: Final = """Puts a backup into an empty installation, SQLite or PostgreSQL, whichever it came from.

All of it, or nothing.

Stop the servers of that installation first. It is refused when something is there already, when the backup was made
by a version with another schema, or when its stored secrets could not be read.

Example: undercroft restore monday.backup
         undercroft restore monday.backup --key-file encryption.key"""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a file that undercroft backup has written")
    add_passphrase(parser)
    parser.add_argument(
        "--key-file", type=Path, metavar="FILE", help="where to put the encryption keys (default: beside SQLite)"
    )
    parser.add_argument(
        "--keys-are-lost", action="store_true", help="restore although stored secrets cannot be read any more"
    )
    add_config(parser)
    add_json(parser)


def run(options: Namespace, out: Output) -> int:
    from undercroft.assembly.backups import target_of
    from undercroft.backups.archive import open_archive
    from undercroft.backups.restore import restore

    settings = read_settings(options, out)
    with open_archive(options.file) as reader:
        manifest = reader.manifest
    passphrase = ""
    if manifest.keys is not None and not options.keys_are_lost:
        passphrase = read_passphrase(options, what="open the backup's encryption keys")
    database = open_it(settings)
    try:
        target = target_of(settings, database, key_file=options.key_file)
        with out.progress("restoring", sum(table.rows for table in manifest.tables.values())) as advance:
            done = asyncio.run(
                restore(
                    target,
                    options.file,
                    passphrase=passphrase,
                    may_lose_keys=options.keys_are_lost,
                    advance=advance,
                )
            )
    finally:
        database.close()
    if done.left_out_vectors:
        out.note(
            f"the vectors were left out: they go into the embedded store, and here it is {settings.vectors.chosen}"
        )
    if done.missing_blobs:
        out.note(f"{done.missing_blobs} files were deleted while the backup was made, and are not restored")
    if done.key_file is not None and done.key_file == options.key_file:
        out.note(f"the encryption keys are in {done.key_file}; start with ENCRYPTION_KEY_FILE={done.key_file}")
    value = {
        "rows": done.rows,
        "files": done.blobs,
        "vectors": done.vectors,
        "secrets": done.secrets,
        "key_file": None if done.key_file is None else str(done.key_file),
        "schema": manifest.schema,
    }
    out.show(
        value,
        text=f"{done.rows} rows and {done.blobs} files are restored as they were; {done.secrets} secrets open.",
    )
    return 0
