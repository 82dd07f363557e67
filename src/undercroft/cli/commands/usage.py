"""`undercroft usage`."""

import asyncio
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from functools import partial
from typing import Final

from undercroft.assembly.limits import rules_of
from undercroft.cli.commands.ledger import opened_database, spool_root
from undercroft.cli.installation import read_settings
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock
from undercroft.ledger.export import as_csv
from undercroft.ledger.limit_repository import stored_limits
from undercroft.ledger.opened import OpenedPrices
from undercroft.ledger.outlook import budgets, spend_today
from undercroft.ledger.prices import PriceBook
from undercroft.ledger.shipping import Flushed, Shipper
from undercroft.ledger.usage import Grouping, UsageLine, grouping_of, sum_usage
from undercroft.money import format_usd
from undercroft.settings.model import Settings
from undercroft.storage.engine import Database

HELP = """What was used and what it cost, exactly.

Example: undercroft usage --by model --since 7d
         undercroft usage --by tag:project --since 2026-01-01 --csv > january.csv
         undercroft usage --outlook"""
ORGANISATION: Final = "default"
UNITS_US: Final = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--by",
        type=_grouping,
        default=("model", "model", ""),
        metavar="WHAT",
        help="key, user, team, model, provider, endpoint, hour, day or tag:NAME (default: model)",
    )
    parser.add_argument("--since", type=moment, metavar="WHEN", help="7d, 12h, or a day such as 2026-01-01 (UTC)")
    parser.add_argument("--until", type=moment, metavar="WHEN", help="the same; not included")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print a table for spreadsheets")
    form.add_argument(
        "--outlook", action="store_true", help="what comes of each budget at this pace, and whether today is unusual"
    )
    add_config(parser)
    add_json(parser)


def _grouping(text: str) -> tuple[str, Grouping, str]:
    try:
        return text, *grouping_of(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


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
    by, grouping, tag = options.by
    with opened_database(settings) as database:
        flushed = asyncio.run(flush(settings, database))
        if options.outlook:
            return _show_outlook(settings, database, out)
        query = partial(sum_usage, organisation=ORGANISATION, since_us=options.since, until_us=options.until)
        lines = database.read_sync(partial(query, by=grouping, tag=tag))
        totals = database.read_sync(query)
    pending = _pending(flushed)
    if options.csv:
        out.show(as_csv(by, lines), text=as_csv(by, lines).rstrip("\n"))
    elif options.json:
        groups = [_cells(by, line.group or "(none)", line) for line in lines]
        total = [_cells(by, "total", line) for line in totals]
        out.show({"by": by, "groups": groups, "total": total[0] if total else None, "pending": pending})
        return 0
    else:
        rows = [
            *(_cells(by, line.group or "(none)", line) for line in lines),
            *(_cells(by, "total", t) for t in totals),
        ]
        out.table(rows, empty="Nothing was used in this time.")
    for line in pending:
        out.note(line)
    return 0


def _show_outlook(settings: Settings, database: Database, out: Output) -> int:
    now_us = SystemClock().now_us()
    limits = [*database.read_sync(stored_limits), *rules_of(settings.limits)]
    today = database.read_sync(partial(spend_today, organisation=ORGANISATION, now_us=now_us))
    found = database.read_sync(partial(budgets, limits=limits, organisation=ORGANISATION, now_us=now_us))
    rows = [
        {
            "budget": each.budget,
            "subject": each.subject,
            "used_usd": format_usd(each.used_nano),
            "amount_usd": format_usd(each.amount_nano),
            "forecast_usd": None if each.forecast_nano is None else format_usd(each.forecast_nano),
            "ends_at": each.ends_at,
            "spent_at": each.spent_at,
        }
        for each in found
    ]
    summary = {
        "cost_usd": format_usd(today.today_nano),
        "usual_usd": format_usd(today.usual_nano),
        "days_before_usd": [format_usd(nano) for nano in today.days_before_nano],
        "is_anomalous": today.is_anomalous,
    }
    if out.json:
        out.show({"today": summary, "budgets": rows})
        return 0
    verdict = "far more than usual" if today.is_anomalous else "nothing unusual"
    out.line(f"Today: ${summary['cost_usd']}; the same hours of the last days: ${summary['usual_usd']}; {verdict}.")
    out.table(rows, empty="There are no budgets.")
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
