"""`undercroft migrate`."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from undercroft.access.audit import Act
from undercroft.cli.installation import note
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock
from undercroft.settings.sources import load
from undercroft.storage.engine import dialect_of, open_database
from undercroft.storage.migrate import ddl

HELP = """Brings the database to the current schema, or to the revision named.

An embedded SQLite database does this by itself when it is opened; a PostgreSQL database waits for this command.
A migration that what runs now could not live with is refused, unless --stopped says that nothing runs.

Example: undercroft migrate
         undercroft migrate --sql > schema.sql"""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--to",
        default="head",
        metavar="REV",
        help="revision to go to, up or down (default: head, the newest; base takes everything away, data included)",
    )
    parser.add_argument(
        "--sql", action="store_true", help="print the statements for an empty database (--to FROM:TO: for a step)"
    )
    running = parser.add_mutually_exclusive_group()
    running.add_argument(
        "--beside", metavar="REV", help="the schema that running code was written for (default: the database's)"
    )
    running.add_argument("--stopped", action="store_true", help="nothing runs: what it would break does not matter")
    add_config(parser)
    add_json(parser)


def run(options: Namespace, out: Output) -> int:
    loaded = load(config=options.config, environment=os.environ, directory=Path.cwd())
    for warning in loaded.warnings:
        out.note(f"warning: {warning}")
    settings = loaded.settings
    url = settings.database.url.get_secret_value() if settings.database.url else None

    if options.sql:
        statements = ddl(dialect_of(url), options.to)
        out.show({"sql": statements}, text=statements.rstrip())
        return 0
    database = open_database(url, data_dir=settings.data_dir, pool_size=1, clock=SystemClock(), migrates=False)
    try:
        if (state := database.state_sync()).detail:
            out.note(state.detail)
        if state.kind == "older" and state.revision is not None and not options.stopped:
            from undercroft.storage.compatibility import refuse_breaking, steps

            refuse_breaking(steps(state.revision, options.to), beside=options.beside or state.revision)
        before, after = database.migrate(options.to)
        if before != after and database.state_sync().is_ready:  # at any other revision there may be no log
            act = Act(action="schema.migrate", before={"revision": before}, after={"revision": after})
            note(database, act)
    finally:
        database.close()
    where = f"The {database.dialect} database"
    said = f"{where} was at {before or 'base'} and is now at {after or 'base'}."
    out.show(
        {"from": before, "to": after}, text=f"{where} is at {after or 'base'} already." if before == after else said
    )
    return 0
