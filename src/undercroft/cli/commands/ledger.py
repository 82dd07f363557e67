"""`undercroft ledger verify`."""

import time
import urllib.request
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from undercroft.cli.installation import read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.errors import InvalidRequest, NotFound, Unavailable
from undercroft.ledger.verify import verify
from undercroft.ledger.verify_metrics import booked, counted, differences
from undercroft.money import format_usd
from undercroft.settings.model import Settings
from undercroft.storage.engine import FILE_NAME, Database

HELP = """Verifies the books: every cost from its own row, the sums, the spools, and what servers have counted.

With --metrics, servers' own counters are compared with the books too; name all that share the ledger.

Example: undercroft ledger verify
         undercroft ledger verify --metrics http://127.0.0.1:8000/metrics"""
TRIES: Final = 10
"""Looks at both, half a second apart: a call is counted and booked a moment after its answer."""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=["verify"], help="recompute every row and compare; exit code 1 if one is off")
    parser.add_argument(
        "--metrics", action="append", default=[], metavar="URL", help="a server's /metrics; repeat for more"
    )
    add_config(parser)
    add_json(parser)


def run(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out)

    with opened_database(settings) as database:
        findings = database.read_sync(partial(verify, root=spool_root(settings)))
        if options.metrics:
            findings.counted, faults = _compare(options.metrics, settings, database)
            findings.faults += faults
    summary = [
        f"{findings.calls} calls, {format_usd(findings.cost_nano)} USD",
        *([f"{findings.unpriced} calls have no known price and count as 0"] if findings.unpriced else []),
        *([f"{findings.unproven} calls name no rates: cost taken as booked"] if findings.unproven else []),
        *([f"{findings.balances} balances of limits compared with their calls"] if findings.balances else []),
        *([f"{findings.counted} calls compared with what servers have counted"] if options.metrics else []),
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


def _compare(urls: Sequence[str], settings: Settings, database: Database) -> tuple[int, list[str]]:
    """How many calls were compared, and what differs still when all had the time to be booked."""
    token = settings.telemetry.metrics_token or settings.access.master_key
    headers = {"authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    faults: list[str] = []
    for left in reversed(range(TRIES)):
        in_metrics, since_us = counted([_scraped(url, headers) for url in urls])
        in_books = database.read_sync(partial(booked, since_us=since_us))
        faults = list(differences(in_books, in_metrics))
        if not faults:
            return sum(of.calls for of in in_books.values()), []
        if left:
            time.sleep(0.5)
    return 0, faults


def _scraped(url: str, headers: Mapping[str, str]) -> str:
    if not url.startswith(("http://", "https://")):
        raise InvalidRequest(f"--metrics is {url}; it takes an address such as http://127.0.0.1:8000/metrics.")
    try:
        request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - http, as was just seen
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            text: str = answer.read().decode()
    except (OSError, ValueError) as error:
        raise Unavailable(f"{url} cannot be read: {error}") from error
    if "process_start_time_seconds" not in text:
        raise InvalidRequest(f"{url} shows no metrics of undercroft.")
    return text
