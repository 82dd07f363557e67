"""`undercroft plan compare`."""

from argparse import Namespace

from undercroft.cli.commands.plan.workload import asked
from undercroft.cli.output import Output
from undercroft.errors import InvalidRequest
from undercroft.planning.bounds import one_of
from undercroft.planning.compare import compare, cost_chart
from undercroft.planning.instances import CLOUDS


def run(options: Namespace, out: Output) -> int:
    given = asked(options, out)
    workload, prices, tokens, hosted = given.workload, given.prices, given.tokens, given.hosted
    found = compare(workload, prices=prices, tokens=tokens, hosted=hosted, regions=_regions(options.region))
    if options.chart is not None:
        chart = cost_chart(workload, prices=prices, tokens=tokens, hosted=hosted)
        options.chart.write_text(chart, encoding="utf-8")
        out.note(f"chart: {options.chart}")
    if out.json:
        out.show(found)
    else:
        out.table(
            [
                {
                    "form": each.form,
                    "cloud": each.provider,
                    "what": each.what,
                    "USD/month": "unknown" if each.usd_month is None else f"{each.usd_month:.2f}",
                    "not included": ", ".join(each.unknown),
                    "prices of": each.as_of,
                    "how": each.how,
                }
                for each in found.offers
            ]
        )
        for point in found.break_evens:
            when = point.how if point.daily_requests is None else f"from {point.daily_requests:.0f} requests a day on"
            out.line(f"{point.cheaper} cost less than {point.than}: {when}")
        for warning in found.warnings:
            out.note(f"warning: {warning}")
    return 0


def _regions(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        cloud, slash, region = text.partition("/")
        if not slash:
            raise InvalidRequest(f"--region {text!r} names no cloud.", param="region", hint="Write aws/us-east-1.")
        found[one_of("provider", cloud, CLOUDS)] = region
    return found
