"""`undercroft plan optimize`."""

from argparse import Namespace
from functools import partial

from undercroft.cli.commands.plan.telemetry import read_ledger, since
from undercroft.cli.commands.usage import ORGANISATION
from undercroft.cli.output import Output
from undercroft.clock import SystemClock
from undercroft.planning.optimize import find_savings, fleet_of
from undercroft.planning.own_prices import read_prices


def run(options: Namespace, out: Output) -> int:
    fleet = None if options.replicas is None else fleet_of(options.replicas, options.cpu_fraction)
    query = partial(
        find_savings,
        organisation=ORGANISATION,
        since_us=since(options),
        until_us=SystemClock().now_us(),
        prices=read_prices(options.prices),
        fleet=fleet,
    )
    found = read_ledger(options, out, query)
    if out.json:
        out.show(found)
    else:
        out.line(f"{found.calls} calls in {found.days:.1f} days, {found.spent:.6f} USD")
        out.table(
            [
                {
                    "USD a month": each.what,
                    "spent now": _usd(each.at_stake),
                    "low": _usd(each.low),
                    "likely": _usd(each.likely),
                    "high": _usd(each.high),
                    "how": each.how,
                }
                for each in found.savings
            ]
        )
        for warning in found.warnings:
            out.note(f"warning: {warning}")
    return 0


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
