"""What `undercroft plan` takes from this installation's ledger."""

import asyncio
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from undercroft.cli.commands.ledger import opened_database
from undercroft.cli.commands.usage import ORGANISATION, flush, moment
from undercroft.cli.installation import read_settings
from undercroft.cli.output import Output
from undercroft.clock import SystemClock
from undercroft.errors import InvalidRequest
from undercroft.planning.history import read_arrivals, read_history

T = TypeVar("T")


def read_ledger(options: Namespace, out: Output, query: Callable[..., T]) -> T:
    """What `query` finds, with calls that were not in the database yet shipped before."""
    settings = read_settings(options, out)
    with opened_database(settings) as database:
        asyncio.run(flush(settings, database))
        return database.read_sync(query)


def since(options: Namespace) -> int:
    """Microseconds since 1970. Raises InvalidRequest."""
    try:
        return moment(options.since)
    except ArgumentTypeError as error:
        raise InvalidRequest(f"--since: {error}", param="since") from None


def measured_fields(options: Namespace, out: Output) -> dict[str, Any]:
    """Fields of a Workload."""
    query = partial(read_history, organisation=ORGANISATION, since_us=since(options), until_us=SystemClock().now_us())
    found = read_ledger(options, out, query)
    if not out.json:
        out.note(f"measured: {found.calls} calls in {found.days:.1f} days")
    return found.fields()


def recorded_arrivals(options: Namespace, out: Output) -> tuple[float, ...]:
    """Seconds of the ledger's latest arrivals."""
    query = partial(read_arrivals, organisation=ORGANISATION, since_us=0)
    return tuple(read_ledger(options, out, query))
