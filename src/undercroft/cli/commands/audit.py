"""`undercroft audit`."""

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from undercroft.access.audit import Entry, as_line, entries_of, every_entry, verify
from undercroft.cli.commands.keys import positive
from undercroft.cli.installation import read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import rfc3339

HELP = """Who changed what; verifies and exports that log.

Example: undercroft audit list --action key.
         undercroft audit verify"""
ORGANISATION: Final = "default"
_VERIFY = """Looks for entries that were changed, removed or put in, and prints the head of the log. Exit code 1 if
there are any.

Example: undercroft audit verify --head 3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855d"""


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list",
        help="the latest entries",
        description="The latest entries.  Example: undercroft audit list --limit 20 --json",
    )
    listing.add_argument("--limit", type=positive, default=50, metavar="N", help="how many (default: 50)")
    listing.add_argument(
        "--action", dest="of", default="", metavar="NAME", help="only this, or all that begins so: key."
    )
    check = actions.add_parser("verify", help="looks for tampering and gaps", description=_VERIFY)
    check.add_argument("--head", default="", metavar="HASH", help="a head noted earlier, which must be in the log")
    export = actions.add_parser(
        "export",
        help="writes the whole log as lines of JSON",
        description="Writes the whole log as lines of JSON.  Example: undercroft audit export audit.jsonl",
    )
    export.add_argument("file", type=Path, help="the file to write; it may not be there yet")
    for action in (listing, check, export):
        add_config(action)
        add_json(action)


def run(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out)
    with ready_database(settings, otherwise="The audit log cannot be read") as database:
        match options.action:
            case "list":
                work = partial(entries_of, organisation=ORGANISATION, limit=options.limit, action=options.of)
                out.table([_cells(each) for each in database.read_sync(work)], empty="Nothing was changed yet.")
            case "export":
                count = database.read_sync(partial(_write, file=options.file))
                out.show({"file": str(options.file), "entries": count}, text=f"{count} entries in {options.file}")
            case _:
                verdict = database.read_sync(partial(verify, expected_head=options.head))
                text = f"{verdict.entries} entries, head {verdict.head}"
                out.show(verdict, text=f"{text}: {verdict.fault}" if verdict.fault else f"{text}: nothing amiss")
                return 1 if verdict.fault else 0
    return 0


def _write(connection: Connection, *, file: Path) -> int:
    count = 0
    with file.open("xb") as target:
        for entry in every_entry(connection):
            target.write(as_line(entry))
            count += 1
    return count


def _cells(entry: Entry) -> dict[str, object]:
    return {
        "number": entry.number,
        "at": rfc3339(entry.at_us),
        "actor": entry.actor,
        "address": entry.address,
        "action": entry.action,
        "subject": entry.subject,
        "details": entry.details,
    }
