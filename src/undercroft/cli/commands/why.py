"""`undercroft why`."""

import asyncio
from argparse import ArgumentParser, Namespace
from functools import partial

from undercroft.cli.commands.ledger import opened_database
from undercroft.cli.commands.usage import ORGANISATION, flush
from undercroft.cli.installation import read_settings
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock
from undercroft.errors import NotFound
from undercroft.ledger.contents import find
from undercroft.ledger.explanation import call_of, explain
from undercroft.storage.engine import Database

HELP = """Why a call went the way it did, and what was said in it, where that is kept.

Example: undercroft why req_0192f0c1d2e3a4b5c6d7e8f901234567
         undercroft why req_0192f0c1d2e3a4b5c6d7e8f901234567 --content"""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("request", metavar="REQUEST_ID", help="what the answer's header x-request-id said")
    parser.add_argument("--content", action="store_true", help="what was asked and answered, where that is kept")
    add_config(parser)
    add_json(parser)


def run(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out)
    with opened_database(settings) as database:
        asyncio.run(flush(settings, database))
        if options.content:
            return _show_content(options.request, database, out)
        record = database.read_sync(partial(call_of, id=options.request, organisation=ORGANISATION))
    if record is None:
        raise NotFound(
            f"There is no call '{options.request}' in the ledger.",
            hint="A call that is still running has not been booked yet.",
        )
    told = explain(record)
    out.show(told, text="\n".join(f"{number}. {step.text}" for number, step in enumerate(told.steps, start=1)))
    return 0


def _show_content(request: str, database: Database, out: Output) -> int:
    now_us = SystemClock().now_us()
    kept = database.read_sync(partial(find, id=request, organisation=ORGANISATION, now_us=now_us))
    if kept is None:
        raise NotFound(
            f"No content of a call '{request}' is kept.",
            hint="It is where [ledger] content says so, or the call's header x-undercroft-content said keep.",
        )
    out.show(kept, text=f"{kept.request}\n{kept.answer}")
    return 0
