"""`undercroft usage`."""

import asyncio
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from functools import partial
from typing import Final

from undercroft.cli.commands.ledger import opened_database, spool_root
from undercroft.cli.installation import read_settings
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock
from undercroft.ledger.opened import OpenedPrices
from undercroft.ledger.prices import PriceBook
from undercroft.ledger.shipping import Flushed, Shipper
from undercroft.ledger.usage import UsageLine, sum_usage
from undercroft.money import format_usd
from undercroft.settings.model import Settings
from undercroft.storage.engine import Database

HELP = "What was used and what it cost, exactly.  Example: undercroft usage --by model --since 7d"
ORGANISATION: Final = "default"
UNITS_US: Final = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--by", choices=["key", "model", "provider", "day"], default="model", help="default: model")
    parser.add_argument("--since", type=moment, metavar="WHEN", help="7d, 12h, or a day such as 2026-01-01 (UTC)")
    add_config(parser)
    add_json(parser)


def moment(text: str) -> int:
    """Microseconds since 1970: `7d` counts back from now, `2026-01-01` is that day's midnight UTC."""
    from datetime import UTC, datetime

    if back := re.fullmatch(r"(\d{1,6})([mhdw])", text):
        return SystemClock().now_us() - int(back[1]) * UNITS_US[back[2]]
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time; write 7d, 12h or 2026-01-01") from None
    return int(given.replace(tzinfo=given.tzinfo or UTC).timestamp()) * 1_000_000


def run(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out)

    with opened_database(settings) as database:
        flushed = asyncio.run(flush(settings, database))
        query = partial(sum_usage, organisation=ORGANISATION, since_us=options.since)
        lines = database.read_sync(partial(query, by=options.by))
        totals = database.read_sync(query)
    groups = [_cells(options.by, line.group or "(none)", line) for line in lines]
    total = [_cells(options.by, "total", line) for line in totals]
    pending = _pending(flushed)
    if options.json:
        out.show({"by": options.by, "groups": groups, "total": total[0] if total else None, "pending": pending})
        return 0
    out.table([*groups, *total], empty="Nothing was used in this time.")
    for line in pending:
        out.note(line)
    return 0


async def flush(settings: Settings, database: Database) -> Flushed:
    """Brings in what processes, running or dead, have on disk: the sums are as of now."""

    price = OpenedPrices(PriceBook(), settings.models)
    shipper = Shipper(database, spool_root(settings), clock=SystemClock(), price=price, everyones=True)
    return await shipper.flush()


def _cells(by: str, group: str, line: UsageLine) -> dict[str, object]:
    return {
        by: group,
        "calls": line.calls,
        "errors": line.errors,
        "input": line.usage.input,
        "cache_read": line.usage.cache_read,
        "cache_write": line.usage.cache_write,
        "output": line.usage.output,
        "reasoning": line.usage.reasoning,
        "cost_usd": format_usd(line.cost_nano),
        "unknown_price": line.unpriced,
        "estimated": line.estimated,
    }


def _pending(flushed: Flushed) -> list[str]:
    said = []
    if flushed.running:
        calls = "1 call is" if flushed.running == 1 else f"{flushed.running} calls are"
        said.append(f"{calls} still running and not counted.")
    said += [f"Not counted: {left}" for left in flushed.left]
    said += [f"Damaged: {damage}" for damage in flushed.damaged]
    return said
