"""`undercroft why`."""

import asyncio
from argparse import ArgumentParser, Namespace
from functools import partial

from undercroft.cli.commands.ledger import opened_database
from undercroft.cli.commands.usage import ORGANISATION, flush
from undercroft.cli.installation import read_settings
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.errors import NotFound
from undercroft.ledger.explanation import call_of, explain

HELP = "Why a call went the way it did.  Example: undercroft why req_0192f0c1d2e3a4b5c6d7e8f901234567"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("request", metavar="REQUEST_ID", help="what the answer's header x-request-id said")
    add_config(parser)
    add_json(parser)


def run(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out)
    with opened_database(settings) as database:
        asyncio.run(flush(settings, database))
        record = database.read_sync(partial(call_of, id=options.request, organisation=ORGANISATION))
    if record is None:
        raise NotFound(
            f"There is no call '{options.request}' in the ledger.",
            hint="A call that is still running has not been booked yet.",
        )
    told = explain(record)
    out.show(told, text="\n".join(f"{number}. {step.text}" for number, step in enumerate(told.steps, start=1)))
    return 0
