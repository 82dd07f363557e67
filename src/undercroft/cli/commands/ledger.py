"""`undercroft ledger verify`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from undercroft.cli.installation import read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.errors import NotFound
from undercroft.ledger.verify import verify
from undercroft.money import format_usd
from undercroft.settings.model import Settings
from undercroft.storage.engine import FILE_NAME, Database

HELP = "Verifies the books: every cost from its own row, the sums, the spools.  Example: undercroft ledger verify"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=["verify"], help="recompute every row and compare; exit code 1 if one is off")
    add_config(parser)
    add_json(parser)


def run(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out)

    with opened_database(settings) as database:
        findings = database.read_sync(partial(verify, root=spool_root(settings)))
    summary = [
        f"{findings.calls} calls, {format_usd(findings.cost_nano)} USD",
        *([f"{findings.unpriced} calls have no known price and count as 0"] if findings.unpriced else []),
        *([f"{findings.unproven} calls name no rates: cost taken as booked"] if findings.unproven else []),
        *([f"{findings.balances} balances of limits compared with their calls"] if findings.balances else []),
        f"{findings.spools} spools, {findings.waiting} records waiting, {findings.torn_bytes} bytes of torn ends",
        *(f"WRONG: {fault}" for fault in findings.faults),
        "The books are wrong." if findings.faults else "The books are right.",
    ]
    out.show(findings, text="\n".join(summary))
    return 1 if findings.faults else 0


def spool_root(settings: Settings) -> Path:
    return settings.data_dir / "spool"


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """The ledger's database. Raises Unavailable when it is away or has no tables, NotFound where none was ever made."""

    url = settings.database.url
    if url is None and not (settings.data_dir / FILE_NAME).exists() and not spool_root(settings).exists():
        raise NotFound(
            f"There is no ledger in {settings.data_dir.absolute()}: nothing was used yet.",
            hint="Run this in the server's folder, or name its database in DATABASE_URL.",
        )
    with ready_database(settings, otherwise="The ledger cannot be read") as database:
        yield database
