"""`undercroft limits`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from functools import partial
from typing import Final

from undercroft.assembly.keys import LimitState
from undercroft.assembly.subjects import GROUPS, act_of, change, show
from undercroft.cli.commands.keys import ORGANISATION, add_limits, in_database, limits_in
from undercroft.cli.installation import read_settings
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock, rfc3339
from undercroft.ledger.limits import NEVER_US

HELP = """What an organisation, a team or a user may use, all keys together. Rules in the settings file hold besides.

Example: undercroft limits set team search --budget 100 --per month
         undercroft limits show team search"""
_SET: Final = """Replaces all limits that were set for it; without an option it has none any more.

Example: undercroft limits set team search --budget 100 --per month --requests-per-minute 600"""


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    setting = actions.add_parser("set", help="replaces its limits", description=_SET)
    showing = actions.add_parser(
        "show",
        help="its limits, and what is used of them",
        description="Its limits, and what is used of them.  Example: undercroft limits show team search",
    )
    for action in (setting, showing):
        action.add_argument("group", choices=GROUPS, metavar="GROUP", help=", ".join(GROUPS))
        action.add_argument("subject", metavar="NAME", help="its name")
    add_limits(setting)
    for action in (setting, showing):
        add_config(action)
        add_json(action)


def run(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out)
    group, subject, now_us = options.group, options.subject, SystemClock().now_us()
    where = {"group": group, "subject": subject, "organisation": ORGANISATION, "now_us": now_us}
    if options.action == "show":
        states = in_database(settings, partial(show, **where))
    else:
        limits = list(limits_in(options))
        states = in_database(settings, partial(change, limits=limits, **where), act_of(group, subject, limits))
    out.table(list(_cells(states)), empty=f"Nothing is set for the {group} '{subject}'.")
    return 0


def _cells(states: Iterable[LimitState]) -> Iterable[dict[str, object]]:
    for each in states:
        limit = each.limit
        yield {
            "measure": limit.measure,
            "period": limit.period,
            "model": limit.model,
            "limit": limit.told(limit.amount),
            "used": limit.told(each.used),
            "renews": "" if each.renews_us >= NEVER_US else rfc3339(each.renews_us),
        }
